"""TD7's updates per second on a GPU, if there is one: launched by Python one by one, and replayed as a CUDA graph.

The agent of the lecture, moved over; its page knows nothing of it. One batch lies on the GPU, so that only `update`
is measured, without the replay buffer and LAP's priorities.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from unittest.mock import patch

import torch
from gymnasium.spaces import Box
from rich.table import Table

from rlcourse.algorithms import td7
from rlcourse.buffers import Batch, ReplayBuffer
from tests.benchmarks.timing import interleaved

OBS, ACTIONS = 17, 6  # HalfCheetah's
NETS = (
    *("actor", "critic", "encoder", "target_actor", "target_critic", "fixed_encoder", "target_encoder"),
    *("checkpoint_actor", "checkpoint_encoder"),
)
UPDATES = 100  # timed at once, which the graph takes in pairs, since TD3's actor learns in every second


def make() -> td7.TD7:
    """TD7 at full size on the GPU, without smoothing noise, so that two of them compute the same."""
    config = td7.Config(target_noise=0.0, checkpoints=False, buffer_size=25_000)
    agent = td7.TD7(OBS, Box(-1, 1, (ACTIONS,)), config, 0, replay=ReplayBuffer(1, (OBS,), (ACTIONS,)))
    for name in NETS:
        getattr(agent, name).cuda()
    for optimizer in (agent.actor_optimizer, agent.critic_optimizer, agent.encoder_optimizer):
        optimizer.param_groups[0]["capturable"] = True
    agent._smoothing = torch.Generator("cuda").manual_seed(0)
    return agent


def random_batch() -> Batch:
    rng, rows = torch.Generator().manual_seed(0), td7.Config.batch_size
    obs, next_obs = torch.randn(2, rows, OBS, generator=rng)
    action, ones = torch.rand(rows, ACTIONS, generator=rng) * 2 - 1, torch.ones(rows)
    batch = Batch(obs, action, obs[:, 0], next_obs, 0 * ones, ones, ones / rows, torch.arange(rows))
    return Batch(**{field.name: getattr(batch, field.name).cuda() for field in fields(Batch)})


@contextmanager
def unread() -> Iterator[None]:
    """Losses stay on the GPU: to read one is to wait for it, which a graph cannot."""
    with patch.object(torch.Tensor, "item", lambda _: 0.0), patch.object(torch.Tensor, "__float__", lambda _: 0.0):
        yield


def pair_of(agent: td7.TD7, batch: Batch) -> Callable[[], None]:
    def two_updates() -> None:
        with torch.device("cuda"):
            agent.update(batch)
            agent.update(batch)

    return two_updates


def captured(two_updates: Callable[[], None], agent: td7.TD7) -> Callable[[], None]:
    """The same two updates as a graph; warms up with two pairs, as PyTorch's documentation asks for."""
    aside = torch.cuda.Stream()
    with unread(), torch.cuda.stream(aside):
        two_updates()
        two_updates()
    aside.synchronize()
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(agent._smoothing)
    with unread(), torch.cuda.graph(graph):
        two_updates()
    return graph.replay


def largest_difference(one: td7.TD7, other: td7.TD7) -> float:
    pairs = ((getattr(one, name).parameters(), getattr(other, name).parameters()) for name in NETS)
    return max(float((a - b).detach().abs().max()) for ours, theirs in pairs for a, b in zip(ours, theirs, strict=True))


def repeated(two_updates: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        for _ in range(UPDATES // 2):
            two_updates()
        torch.cuda.synchronize()

    return run


def tables() -> list[Table]:
    if not torch.cuda.is_available():
        return [Table(title="TD7 on a GPU: not measured, PyTorch sees none")]
    batch, start, plain, graphed = random_batch(), make(), make(), make()
    two_updates, replay = pair_of(plain, batch), captured(pair_of(graphed, batch), graphed)
    two_updates()
    two_updates()
    for _ in range(10):
        two_updates()
        replay()
    moved, apart = largest_difference(plain, start), largest_difference(plain, graphed)
    seconds = interleaved(
        {
            "one by one": repeated(two_updates),
            "the same, losses not read": repeated(unread()(two_updates)),
            "as a CUDA graph": repeated(replay),
        },
        20,
    )
    title = f"TD7 on {torch.cuda.get_device_name()}: after 24 updates weights moved by up to {moved:.1g}, "
    table = Table("update", "per second", title=title + f"and differ between one by one and graph by {apart:.1g}")
    for name, time in seconds.items():
        table.add_row(name, f"{UPDATES / time:.0f}")
    return [table]
