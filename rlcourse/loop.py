"""The two training loops, of one environment and of many side by side; and evaluation."""

import copy
import math
import warnings
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Float

from rlcourse.buffers import ReplayBuffer, Transition


@runtime_checkable  # the tests check every annotation while they run
class Agent(Protocol):
    """What the loop asks of an agent; the agent itself decides when to learn.

    One of `AGENTS` is made from the size of an observation (or the number of states), the action space as `envs.make`
    leaves it (or the number of actions), a Config, and a seed. If it learns from a memory, `replay` is one to use
    instead of that which its Config describes, and it counts the `steps` observed and the gradient steps, `updates`.

    An agent that can be saved (`checkpoints`) also has `state_dict()` and `load_state_dict(state)`; they cover all that
    the next steps depend on: networks, optimisers, memory, every random generator.

    An agent, or its `replay`, that holds something of an episode under way (a window of steps, a sum of rewards) also
    has `drop_episode()`: the loops call it before they start new episodes. It does nothing where no episode is under
    way.
    """

    def act(self, obs: Any, explore: bool = True) -> Any: ...

    def observe(self, transition: Transition) -> None: ...

    def learn(self) -> Iterator[dict[str, float]]: ...


def _within(space: gym.Space) -> Callable[[Any], Any]:
    """What brings an action into a box: a normal distribution reaches beyond all bounds. The one place that clips."""
    if not isinstance(space, Box):
        return _copied
    low, high = space.low, space.high
    return lambda action: np.minimum(np.maximum(action, low), high)


def _require(env: Any, agent: Agent, side_by_side: bool) -> None:
    """Refuse a world or an agent that is meant for the other loop; an agent without a Config may take either."""
    config = getattr(agent, "config", None)
    if isinstance(env, gym.vector.VectorEnv) != side_by_side or (
        config is not None and hasattr(config, "num_envs") != side_by_side
    ):
        raise ValueError(
            f"{type(agent).__name__} in {env} cannot learn in this loop: train is for agents of one environment and "
            "envs.make, train_vector for those with num_envs in their Config (PPO, ActorCritic) and envs.make_vector"
        )


def train(env: gym.Env, agent: Agent, steps: int, seed: int | None, start: int = 0) -> Iterator[dict[str, Any]]:
    """Act, step, hand over the transition, let the agent learn; until `steps` steps are done.

    Stop it whenever you like: the agent stays usable, and another `train` goes on with it from a new episode. What the
    environment is given is within the bounds of its action space; the agent is told what it chose itself.

    Args:
        seed: of the environment; None leaves its random generator where it is.
        start: the steps already done, as returned by `checkpoints.resume`; then pass no seed.

    Yields:
        The metrics of every update, then for every step its `reward`, on an episode's last step also the
        `episode_return` (undiscounted) and `episode_length`; each with `step`, the number of environment steps so
        far. The moment to `checkpoints.save` is when `episode_return` is yielded: the next episode has not begun.

    Raises:
        ValueError: an agent that learns from environments side by side, or such environments; an agent that has
            diverged.
    """
    _require(env, agent, side_by_side=False)
    _drop_episode(agent)
    within = _within(env.action_space)
    obs = _copied(env.reset(seed=seed)[0])
    episode_return, episode_length = 0.0, 0
    for step in range(start + 1, steps + 1):
        action = _act(agent, obs, env.observation_space)
        next_obs, reward, terminated, truncated, _ = env.step(within(action))
        next_obs, reward = _copied(next_obs), float(reward)
        agent.observe(Transition(obs, action, reward, next_obs, bool(terminated), bool(truncated)))
        for metrics in agent.learn():
            yield {"step": step, **_finite(agent, metrics)}
        obs, episode_return, episode_length = next_obs, episode_return + reward, episode_length + 1
        if terminated or truncated:
            yield {"step": step, "reward": reward, "episode_return": episode_return, "episode_length": episode_length}
            obs = _copied(env.reset()[0])
            episode_return, episode_length = 0.0, 0
        else:
            yield {"step": step, "reward": reward}


def _act(agent: Agent, obs: Any, space: gym.Space, **options: bool) -> Any:
    """What the agent does. If it raises an error, a note on the error tells what it was asked to act on."""
    try:
        return agent.act(obs, **options)
    except Exception as error:
        name = type(agent).__name__
        error.add_note(
            f"{name} was to act on an observation of observation_space = {space}: the agent must be made for this "
            "world's spaces, as rlcourse.suited.arguments tells them"
        )
        raise


def _finite(agent: Any, metrics: dict[str, float]) -> dict[str, float]:
    """The metrics of an update, unless one is NaN: no later update can mend that."""
    for name, value in metrics.items():
        if isinstance(value, float) and math.isnan(value):
            raise ValueError(f"{name} = {value}: {type(agent).__name__} has diverged, lower its learning rate")
    return metrics


def _drop_episode(agent: Any) -> None:
    """Tell the agent and its memory that new episodes begin, whatever was under way."""
    for holder in (agent, getattr(agent, "replay", None)):
        getattr(holder, "drop_episode", lambda: None)()


def _copied(value: Any) -> Any:
    """What a world returned, or is handed, as it is now: some worlds go on writing into these arrays."""
    if isinstance(value, np.ndarray):
        return value.copy()
    return value if isinstance(value, int | float | np.generic) else copy.deepcopy(value)


def train_vector(
    env: gym.vector.VectorEnv,
    agent: Agent,
    steps: int,
    seed: int | None,
    start: int = 0,
    env_state: dict[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """The same for N environments side by side, each of which begins anew in the step it ends (`envs.make_vector`).

    The agent acts on `(N, *obs)` and observes one `Transition` of N steps, whose `next_obs` are those that really
    followed. Every environment's step counts, so there are N more after each round, and the last round is completed.

    Args:
        seed: of the first environment, and counting up; None leaves the random generators where they are.
        start: the steps already done, and
        env_state: where the environments stand, both as returned by `checkpoints.resume`; then pass no seed.

    Yields:
        What `train` yields; and after each round in which the agent learned `env_state`. That is the moment to `save`:
        an on-policy agent has used up its data.

    Raises:
        ValueError: an agent that learns from one environment, or one that has diverged; environments of gymnasium's
            default mode, or whose worlds hand out one array again and again.
    """
    _require(env, agent, side_by_side=True)
    if env.metadata.get("autoreset_mode") != gym.vector.AutoresetMode.SAME_STEP:
        raise ValueError(
            f"{env} inserts a step from each episode's end to the next one's start: make it with envs.make_vector, or "
            "with autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP"
        )
    within = _within(env.single_action_space)
    if env_state is None:
        _drop_episode(agent)
        obs = _copied(env.reset(seed=seed)[0])
        sums = {"episode_return": np.zeros(env.num_envs), "episode_length": np.zeros(env.num_envs, int)}
        env_state = {"obs": obs, **sums}
    obs, episode_return, episode_length = (env_state[key].copy() for key in ("obs", "episode_return", "episode_length"))
    for step in range(start, steps, env.num_envs):
        action = _act(agent, obs, env.single_observation_space)
        *arrays, infos = env.step(within(action))
        following, reward, terminated, truncated = map(_copied, arrays)
        over = np.logical_or(terminated, truncated)
        next_obs = following.copy()
        if over.any():
            next_obs[over] = np.stack(_final(env, infos["final_obs"], over))  # type: ignore[call-overload]  # an array of arrays
        agent.observe(Transition(obs, action, reward, next_obs, terminated, truncated))
        learned = False
        for metrics in agent.learn():
            learned = True
            yield {"step": step + env.num_envs, **_finite(agent, metrics)}
        obs, episode_return, episode_length = following, episode_return + reward, episode_length + 1
        for i in range(env.num_envs):
            metrics = {"step": step + i + 1, "reward": float(reward[i])}
            if over[i]:
                metrics |= {"episode_return": float(episode_return[i]), "episode_length": int(episode_length[i])}
            yield metrics
        episode_return[over], episode_length[over] = 0.0, 0
        if learned:
            env_state = {"obs": obs, "episode_return": episode_return, "episode_length": episode_length}
            yield {"step": step + env.num_envs, "env_state": {key: array.copy() for key, array in env_state.items()}}


def _final(env: gym.vector.VectorEnv, final_obs: np.ndarray, over: np.ndarray) -> np.ndarray:
    """What the episodes that are over ended with, unless the next episode has begun in the same array."""
    latest = getattr(env, "_env_obs", ())  # what each world of a `SyncVectorEnv` returned last: its new beginning
    if any(np.shares_memory(final_obs[i], obs) for i, obs in enumerate(latest) if over[i]):
        raise ValueError(
            f"the worlds in {env} return the same array again and again, so the last observation of an episode is "
            "lost: make it with envs.make_vector, or let the worlds return copies"
        )
    return final_obs[over]


EVALUATION_LIMIT = 10_000  # steps; no world of the course has longer episodes, but some have no time limit


def evaluate(
    env: gym.Env, agent: Agent, episodes: int, seed: int, limit: int = EVALUATION_LIMIT
) -> Float[np.ndarray, " episodes"]:
    """The undiscounted return of each of `episodes` episodes without exploration; use an environment of its own.

    Episode i starts from seed `seed + i` and ends when it terminates or is truncated, or after `limit` steps, which a
    warning tells.
    """
    return _evaluate(env, agent, episodes, seed, limit)[0]


def _evaluate(
    env: gym.Env, agent: Agent, episodes: int, seed: int, limit: int
) -> tuple[Float[np.ndarray, " episodes"], int]:
    """The returns, and how many of the episodes the limit ended."""
    within, returns, cut_off = _within(env.action_space), np.zeros(episodes), 0
    for episode in range(episodes):
        obs, _ = env.reset(seed=seed + episode)
        for _ in range(limit):
            action = _act(agent, obs, env.observation_space, explore=False)
            obs, reward, terminated, truncated, _ = env.step(within(action))
            returns[episode] += float(reward)
            if terminated or truncated:
                break
        else:
            cut_off += 1
    if cut_off:
        warnings.warn(
            f"{cut_off} of the {episodes} evaluation episodes did not end by themselves: cut off after {limit} steps",
            stacklevel=3,
        )
    return returns, cut_off


def evaluated(
    training: Iterator[dict[str, Any]],
    env: gym.Env,
    agent: Agent,
    every: int,
    episodes: int,
    seed: int,
    limit: int = EVALUATION_LIMIT,
) -> Iterator[dict[str, Any]]:
    """Pass on what `train` yields, after every `every` steps with an `evaluation`: the returns `(episodes,)`.

    Each evaluation starts from the same states, so that a curve shows the agent change and not the starts. If `limit`
    ended some of its episodes (see `evaluate`), `cut_off` says how many.
    """
    for metrics in training:
        if "reward" in metrics and metrics["step"] % every == 0:
            metrics["evaluation"], cut_off = _evaluate(env, agent, episodes, seed, limit)
            if cut_off:
                metrics["cut_off"] = cut_off
        yield metrics


def collect(env: gym.Env, agent: Agent, replay: ReplayBuffer, steps: int, seed: int) -> Float[np.ndarray, " episodes"]:
    """Fill `replay` with `steps` steps of the agent as it is, exploring; the return of each finished episode."""
    # For `train` it is an agent that puts its transitions elsewhere and learns nothing from them.
    recorder: Any = SimpleNamespace(act=agent.act, observe=replay.add, learn=lambda: iter(()))
    recorder.replay = replay  # which may have to be told that an episode was dropped
    return np.array([m["episode_return"] for m in train(env, recorder, steps, seed) if "episode_return" in m])


def train_offline(agent: Any, updates: int, seed: Any, start: int = 0) -> Iterator[dict[str, Any]]:
    """Learn from what `agent.replay` holds and from nothing else, until `updates` updates are done.

    Args:
        agent: one with `replay` and `update(batch)`.
        seed: of the batches, or the generator that draws them, as a run that goes on needs it.
        start: the updates already done.

    Yields:
        The metrics of each update, with `step`, the number of updates so far.

    Raises:
        ValueError: the agent has diverged.
    """
    import torch  # late: a table needs no torch

    batches = seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)
    for step in range(start + 1, updates + 1):
        yield {"step": step, **_finite(agent, agent.update(agent.replay.sample(agent.config.batch_size, batches)))}
