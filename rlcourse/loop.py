"""The two training loops, of one environment and of many side by side; evaluation; saving and resuming."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
from jaxtyping import Float

from rlcourse import files, snapshots
from rlcourse.buffers import ReplayBuffer, Transition


@runtime_checkable  # the tests check every annotation while they run
class Agent(Protocol):
    """What the loop asks of an agent; the agent itself decides when to learn.

    `state_dict` covers all that the next steps depend on: networks, optimisers, memory, every random generator.
    """

    def act(self, obs: Any, explore: bool = True) -> Any: ...

    def observe(self, transition: Transition) -> None: ...

    def learn(self) -> Iterator[dict[str, float]]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def train(env: gym.Env, agent: Agent, steps: int, seed: int | None, start: int = 0) -> Iterator[dict[str, Any]]:
    """Act, step, hand over the transition, let the agent learn; until `steps` steps are done.

    Stop it whenever you like: the agent stays usable, and another `train` goes on with it from a new episode. What the
    agent holds of an episode that was given up (an n-step window, rows of a rollout, a sum of rewards) runs on into
    the new one; stop when `episode_return` is yielded, and nothing is left over.

    Args:
        seed: of the environment; None leaves its random generator where it is.
        start: the steps already done, as returned by `resume`; then pass no seed.

    Yields:
        The metrics of every update, then for every step its `reward`, on an episode's last step also the
        `episode_return` (undiscounted) and `episode_length`; each with `step`, the number of environment steps so
        far. The moment to `save` is when `episode_return` is yielded: the next episode has not begun.
    """
    obs, _ = env.reset(seed=seed)
    episode_return, episode_length = 0.0, 0
    for step in range(start + 1, steps + 1):
        action = agent.act(obs)
        next_obs, reward, terminated, truncated, _ = env.step(action)
        agent.observe(Transition(obs, action, reward, next_obs, terminated, truncated))
        for metrics in agent.learn():
            yield {"step": step, **metrics}
        obs, episode_return, episode_length = next_obs, episode_return + float(reward), episode_length + 1
        if terminated or truncated:
            yield {
                "step": step,
                "reward": float(reward),
                "episode_return": episode_return,
                "episode_length": episode_length,
            }
            obs, _ = env.reset()
            episode_return, episode_length = 0.0, 0
        else:
            yield {"step": step, "reward": float(reward)}


def train_vector(
    env: gym.vector.VectorEnv,
    agent: Agent,
    steps: int,
    seed: int | None,
    start: int = 0,
    running: dict[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """The same for N environments side by side, each of which begins anew in the step it ends (`envs.make_vector`).

    The agent acts on `(N, *obs)` and observes one `Transition` of N steps, whose `next_obs` are those that really
    followed. Every environment's step counts, so there are N more after each round, and the last round is completed.

    Args:
        seed: of the first environment, and counting up; None leaves the random generators where they are.
        start: the steps already done, and
        running: where the environments stand, both as returned by `resume`; then pass no seed.

    Yields:
        What `train` yields; and after each round in which the agent learned `running`. That is the moment to `save`:
        an on-policy agent has used up its data.
    """
    if running is None:
        obs, _ = env.reset(seed=seed)
        running = {"obs": obs, "episode_return": np.zeros(env.num_envs), "episode_length": np.zeros(env.num_envs, int)}
    obs, episode_return, episode_length = (running[key].copy() for key in ("obs", "episode_return", "episode_length"))
    for step in range(start, steps, env.num_envs):
        action = agent.act(obs)
        following, reward, terminated, truncated, infos = env.step(action)
        over = terminated | truncated
        next_obs = following.copy()
        if over.any():
            next_obs[over] = np.stack(infos["final_obs"][over])
        agent.observe(Transition(obs, action, reward, next_obs, terminated, truncated))
        learned = False
        for metrics in agent.learn():
            learned = True
            yield {"step": step + env.num_envs, **metrics}
        obs, episode_return, episode_length = following, episode_return + reward, episode_length + 1
        for i in range(env.num_envs):
            metrics = {"step": step + i + 1, "reward": float(reward[i])}
            if over[i]:
                metrics |= {"episode_return": float(episode_return[i]), "episode_length": int(episode_length[i])}
            yield metrics
        episode_return[over], episode_length[over] = 0.0, 0
        if learned:
            standing = {"obs": obs, "episode_return": episode_return, "episode_length": episode_length}
            yield {"step": step + env.num_envs, "running": {key: array.copy() for key, array in standing.items()}}


def evaluate(env: gym.Env, agent: Agent, episodes: int, seed: int) -> Float[np.ndarray, " episodes"]:
    """The undiscounted return of each of `episodes` episodes without exploration; use an environment of its own.

    Episode i starts from seed `seed + i` and ends when it terminates or is truncated.
    """
    returns = np.zeros(episodes)
    for episode in range(episodes):
        obs, _ = env.reset(seed=seed + episode)
        over = False
        while not over:
            obs, reward, terminated, truncated, _ = env.step(agent.act(obs, explore=False))
            returns[episode] += float(reward)
            over = terminated or truncated
    return returns


def evaluated(
    training: Iterator[dict[str, Any]], env: gym.Env, agent: Agent, every: int, episodes: int, seed: int
) -> Iterator[dict[str, Any]]:
    """Pass on what `train` yields, after every `every` steps with an `evaluation`: the returns `(episodes,)`.

    Each evaluation starts from the same states, so that a curve shows the agent change and not the starts.
    """
    for metrics in training:
        if "reward" in metrics and metrics["step"] % every == 0:
            metrics["evaluation"] = evaluate(env, agent, episodes, seed)
        yield metrics


def collect(env: gym.Env, agent: Agent, replay: ReplayBuffer, steps: int, seed: int) -> Float[np.ndarray, " episodes"]:
    """Fill `replay` with `steps` steps of the agent as it is, exploring; the return of each finished episode."""
    # For `train` it is an agent that puts its transitions elsewhere and learns nothing from them.
    recorder: Any = SimpleNamespace(act=agent.act, observe=replay.add, learn=lambda: iter(()))
    recorder.state_dict, recorder.load_state_dict = agent.state_dict, agent.load_state_dict
    return np.array([m["episode_return"] for m in train(env, recorder, steps, seed) if "episode_return" in m])


def train_offline(agent: Any, updates: int, seed: int) -> Iterator[dict[str, Any]]:
    """Learn from what `agent.replay` holds and from nothing else.

    Args:
        agent: one with `replay` and `update(batch)`.
        seed: of the batches.

    Yields:
        The metrics of each update, with `step`, the number of updates so far.
    """
    import torch  # late: a table needs no torch

    batches = torch.Generator().manual_seed(seed)
    for step in range(1, updates + 1):
        yield {"step": step, **agent.update(agent.replay.sample(agent.config.batch_size, batches))}


def save(path: Path, env: gym.Env | gym.vector.SyncVectorEnv, agent: Agent, step: int, **extra: Any) -> None:
    """Write all that `resume` needs to go on as if nothing had happened.

    Call it between episodes (see `train`): there an environment's state is its random generator only. With
    environments side by side call it after the agent has learned, and hand on `running` (see `train_vector`): there
    each is in the middle of something, and `snapshots.snapshot` says what it covers. Wrappers that learn (running
    means, say) are not covered. The file appears whole or not at all, whatever kills the process.
    """
    import torch  # late: a table needs no torch

    if isinstance(env, gym.vector.SyncVectorEnv):
        world: Any = [snapshots.snapshot(one) for one in env.envs]
    else:
        world = env.unwrapped.np_random.bit_generator.state
    state = {"step": step, "env": world, "agent": agent.state_dict(), **extra}
    with files.replacing(path) as file:
        torch.save(state, file)


def resume(path: Path, env: gym.Env | gym.vector.SyncVectorEnv, agent: Agent) -> dict[str, Any]:
    """Put back what `save` wrote and return it: `step`, for `train(..., seed=None, start=step)`, and the extras.

    Bit for bit the run that was never interrupted, given an agent and an environment made as for that run, on the
    same processor. Open only files that you wrote: like any pickle, a foreign one can run code.
    """
    import torch

    state: dict[str, Any] = torch.load(path, weights_only=False)
    world = state.pop("env")
    if isinstance(env, gym.vector.SyncVectorEnv):
        for one, snap in zip(env.envs, world, strict=True):
            snapshots.restore(one, snap)
    else:
        env.unwrapped.np_random.bit_generator.state = world
    agent.load_state_dict(state.pop("agent"))
    return state
