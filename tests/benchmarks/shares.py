"""Where the processor's time goes in a training, part by part: what could at most be gained where.

Agents and settings are those that `dqn`, `ppo` and `off_policy` compare with Stable-Baselines3's.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import torch
from gymnasium.spaces import flatdim
from rich.table import Table

from rlcourse import envs, loop
from rlcourse.algorithms.dqn import DQN
from rlcourse.algorithms.ppo import PPO
from tests.benchmarks import dqn, off_policy, ppo

PARTS = ("world", "act", "sample", "forward and losses", "backward", "optimiser", "the rest")
OFF_POLICY_STEPS, ROLLOUTS = 2_000, 2


class Parts:
    """Seconds of the processor by part; one part inside another counts for the inner one only."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._part, self._since = "the rest", time.process_time()

    def enter(self, part: str) -> str:
        """Count for `part` from now on; the part that counted until now."""
        left, now = self._part, time.process_time()
        self.seconds[left] += now - self._since
        self._part, self._since = part, now
        return left

    def within(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose time counts for `part`."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            outside = self.enter(part)
            try:
                return function(*args, **kwargs)
            finally:
                self.enter(outside)

        return timed

    def learning(self, learn: Callable[[], Iterator[Any]]) -> Callable[[], Iterator[Any]]:
        """The same for `Agent.learn`, which yields in between."""

        def timed() -> Iterator[Any]:
            metrics = learn()
            following = self.within("forward and losses", lambda: next(metrics, None))
            while (found := following()) is not None:
                yield found

        return timed


def shares(env: Any, agent: Any, training: Callable[[Any, Any, int, int | None], Iterator[Any]], steps: int) -> Parts:
    """Train for `steps` to warm up, and for as many that count."""
    for _ in training(env, agent, steps, 0):
        pass
    parts = Parts()
    env.step, agent.act = parts.within("world", env.step), parts.within("act", agent.act)
    agent.learn = parts.learning(agent.learn)
    if hasattr(agent, "replay"):
        agent.replay.sample = parts.within("sample", agent.replay.sample)
    for optimiser in (each for each in vars(agent).values() if isinstance(each, torch.optim.Optimizer)):
        optimiser.step = parts.within("optimiser", optimiser.step)  # type: ignore[method-assign]
        optimiser.zero_grad = parts.within("optimiser", optimiser.zero_grad)  # type: ignore[method-assign]
    backward = torch.Tensor.backward
    torch.Tensor.backward = parts.within("backward", backward)  # type: ignore[method-assign]
    parts.seconds.clear()
    parts.enter("the rest")
    for _ in training(env, agent, steps, None):
        pass
    parts.enter("the rest")
    torch.Tensor.backward = backward  # type: ignore[method-assign]
    return parts


def tables() -> list[Table]:
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision(off_policy.PRECISION)
    cartpole, cheetah = envs.make("CartPole-v1"), envs.make_vector(ppo.SPEED_ENV, 1)
    found = {
        "DQN": (shares(cartpole, DQN(4, 2, dqn.OURS, seed=0), loop.train, OFF_POLICY_STEPS), OFF_POLICY_STEPS),
        "PPO": (
            shares(
                cheetah,
                PPO(flatdim(cheetah.single_observation_space), cheetah.single_action_space, ppo.OURS, seed=0),
                loop.train_vector,
                ROLLOUTS * ppo.OURS.rollout_steps,
            ),
            ROLLOUTS * ppo.OURS.rollout_steps,
        ),
    }
    for algorithm in off_policy.OURS:
        found[algorithm] = shares(*off_policy.make(algorithm), loop.train, OFF_POLICY_STEPS), OFF_POLICY_STEPS
    table = Table("agent", "µs a step", *PARTS, title="Where the processor's time of a training goes")
    for algorithm, (parts, steps) in found.items():
        whole = sum(parts.seconds.values())
        each = (f"{100 * parts.seconds[part] / whole:.0f} %" for part in PARTS)
        table.add_row(algorithm, f"{1e6 * whole / steps:.0f}", *each)
    return [table]
