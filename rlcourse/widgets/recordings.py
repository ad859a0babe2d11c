"""What happens inside TD7 while it trains, recorded for lecture 9's widgets: TD errors, and the shape of embeddings.

`python -m rlcourse.widgets.recordings` makes `assets/recordings/td7.npz`, in about five minutes on one core: narrow
networks on HalfCheetah-v5. A run without AvgL1Norm on the embeddings differs from one with it in that only.
"""

from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import flatdim
from jaxtyping import Float

from rlcourse import envs, loop
from rlcourse.algorithms import td7
from rlcourse.buffers import Batch
from rlcourse.provenance import code_hash

PATH = Path(__file__).parents[2] / "assets" / "recordings" / "td7.npz"
ENV, STEPS, SEEDS = "HalfCheetah-v5", 4_000, 5
CONFIG = td7.Config(hidden=(64, 64), embedding=64, batch_size=128, learning_starts=1_000, checkpoints=False)
EVERY = 150  # updates between two looks at the embeddings
MOMENTS = (300, 1_000, 3_000)  # updates at which the errors of the whole buffer are taken
STATES = 512  # in which the embeddings are looked at: the first, from random actions
ROWS = 1_000  # of the buffer that are stored
DOTS = 128  # of the states whose embeddings are drawn
SPEED = 8  # the place of the speed forwards in an observation


@dataclass(frozen=True)
class Recording:
    """Of `SEEDS` seeds with AvgL1Norm on the embeddings, then as many without; errors of the first one.

    Attributes:
        updates: at which the embeddings were looked at.
        raw: mean |f(s)|, before any normalisation.
        scale: mean |z^s|, what actor and critic see.
        rank: effective rank of the z^s.
        loss: of the encoder, relative to the spread of what it predicts: 1 is no better than the mean.
        error: |δ| of transitions of one buffer, the larger of both critics', at each of `MOMENTS`.
        known: the |δ| that their priorities were made from; NaN for those not yet replayed.
        cloud: of the first seed, `DOTS` embeddings at every look: where they lie in `flat`.
        speed: the speed forwards in these states.
    """

    updates: Float[np.ndarray, " T"]
    raw: Float[np.ndarray, "2 N T"]
    scale: Float[np.ndarray, "2 N T"]
    rank: Float[np.ndarray, "2 N T"]
    loss: Float[np.ndarray, "2 N T"]
    error: Float[np.ndarray, "moments rows"]
    known: Float[np.ndarray, "moments rows"]
    cloud: Float[np.ndarray, "2 T dots 2"]
    speed: Float[np.ndarray, " dots"]


def effective_rank(z: Float[torch.Tensor, "B E"]) -> float:
    r"""$\exp(-\sum_i p_i \log p_i)$ with $p_i = \sigma_i / \sum_j \sigma_j$, singular values of the centred rows.

    Roy and Vetterli (2007), *The effective rank*: k directions of equal spread have rank k.
    """
    sigma = torch.linalg.svdvals((z - z.mean(0)).double())
    share = sigma / sigma.sum()
    return float(torch.exp(torch.special.entr(share).sum()))


@torch.no_grad()
def look(agent: td7.TD7) -> tuple[float, float, float, float]:
    """Raw scale, scale, effective rank and relative loss of the embeddings, see `Recording`."""
    batch, encoder = agent.replay.gather(torch.arange(STATES)), agent.encoder
    z_s, next_z_s = encoder.state(batch.obs), encoder.state(batch.next_obs)
    loss = td7.encoder_loss(encoder.pair(z_s, batch.action), next_z_s) / next_z_s.var(0, correction=0).mean()
    return float(encoder.f(batch.obs).abs().mean()), float(z_s.abs().mean()), effective_rank(z_s), float(loss)


@torch.no_grad()
def embedded(agent: td7.TD7) -> Float[np.ndarray, "dots E"]:
    """The z^s of `DOTS` states."""
    return agent.encoder.state(agent.replay.gather(torch.arange(DOTS)).obs).numpy()


def flat(clouds: Float[np.ndarray, "T dots E"]) -> Float[np.ndarray, "T dots 2"]:
    """One plane for all looks, the one in which all clouds together are widest; each cloud around its middle."""
    centred = clouds - clouds.mean(1, keepdims=True)
    _, _, directions = np.linalg.svd(centred.reshape(-1, centred.shape[-1]), full_matrices=False)
    return np.asarray(centred @ directions[:2].T)


@torch.no_grad()
def errors(agent: td7.TD7, batch: Batch) -> Float[np.ndarray, " B"]:
    """|δ|, the larger of both critics', with the noise on the target's action left out."""
    targets = td7.bind_embeddings(agent.target_encoder, batch.next_obs, agent.target_actor, agent.target_critic)
    y = td7.bellman_target(batch, *targets, agent.config.gamma, torch.zeros_like(batch.action), *agent._target_bounds)
    _, critic = td7.bind_embeddings(agent.fixed_encoder, batch.obs, agent.actor, agent.critic)
    return (y - critic(batch.obs, batch.action)).abs().amax(0).numpy()


def watch(normed: bool, seed: int) -> tuple[list[Any], list[Any], list[Any], Float[np.ndarray, " dots"]]:
    """Train once; what `look` and `embedded` saw every `EVERY` updates, (|δ|, known |δ|) at `MOMENTS`, and speeds."""
    torch.set_num_threads(1)
    env = envs.make(ENV)
    agent = td7.TD7(flatdim(env.observation_space), env.action_space, replace(CONFIG, normed=normed), seed)
    update, known = agent.update, np.full(STEPS, np.nan, np.float32)

    def watched(batch: Batch) -> dict[str, float]:
        known[batch.indices] = errors(agent, batch)  # the priorities will be made from these
        return update(batch)

    agent.update = watched  # type: ignore[method-assign]
    seen: list[Any] = []
    buffers: list[Any] = []
    clouds: list[Any] = []
    for metrics in loop.train(env, agent, STEPS, seed):
        if "critic_loss" in metrics and agent.updates % EVERY == 0:
            seen.append((agent.updates, *look(agent)))
            clouds.append(embedded(agent))
        if "critic_loss" in metrics and agent.updates in MOMENTS:
            rows = np.random.default_rng(0).choice(len(agent.replay), ROWS, replace=False)
            buffers.append((errors(agent, agent.replay.gather(torch.arange(len(agent.replay))))[rows], known[rows]))
    return seen, buffers, clouds, agent.replay.gather(torch.arange(DOTS)).obs[:, SPEED].numpy()


@cache
def load() -> Recording:
    """What is stored."""
    with np.load(PATH) as file:
        return Recording(**{field.name: file[field.name] for field in fields(Recording)})


def main() -> None:
    runs = [watch(normed, seed) for normed in (True, False) for seed in range(SEEDS)]
    seen = np.array([run[0] for run in runs], np.float32)  # (runs, T, columns)
    updates, raw, scale, rank, loss = np.moveaxis(seen.reshape(2, SEEDS, *seen.shape[1:]), -1, 0)
    error, known = np.array(runs[0][1], np.float32).transpose(1, 0, 2)
    PATH.parent.mkdir(exist_ok=True)
    # Half precision: a screen shows three digits.
    cloud = np.array([flat(np.array(run[2])) for run in (runs[0], runs[SEEDS])], np.float16)
    recording = Recording(updates[0, 0], raw, scale, rank, loss, error, known, cloud, runs[0][3])
    np.savez_compressed(PATH, code=np.array(code_hash("td7")), **vars(recording))


if __name__ == "__main__":
    main()
