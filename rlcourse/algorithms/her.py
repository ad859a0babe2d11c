r"""Hindsight experience replay = any off-policy agent + a memory that asks afterwards which goals an episode reached.

Paper: Andrychowicz et al. (2017), *Hindsight experience replay* [HER].

| function | equation |
|---|---|
| `goal_index` | [HER] section 4.5, the four strategies |
| `relabel` | [HER] algorithm 1: $r' = r(s_t, a_t, g')$, and $g'$ instead of $g$ in both observations |
| `HindsightReplay.sample` | [HER] algorithm 1: what its second loop stores, drawn when it is needed |

The agent stays as it is: DQN, DDPG, TD3 and SAC take a `HindsightReplay` as their `replay`. Where we leave the paper:

- It stores every transition 1 + k times. We store it once, and of what is sampled relabel each with probability
  k / (k + 1): the same distribution, k + 1 times less memory, and a new goal each time a transition is drawn.
- It keeps γ for transitions that end an episode, and clips targets. Our agents do not bootstrap where the task ends
  (BitFlip does when its goal is reached, Fetch never), and clip nothing.

**Where the goals lie.** A goal-reaching world observes a dictionary: the achieved goal, the desired goal, the rest.
Gymnasium's `FlattenObservation` puts them into one vector in this (alphabetical) order, so what was achieved by a step
is a slice of its `next_obs`, and a `Transition` needs no field for it. The agent sees all three; that some worlds show
one thing twice does not hurt it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rlcourse import inputs
from rlcourse.buffers import Batch, ReplayBuffer, Transition
from rlcourse.config import CountOrZero, check

Strategy = Literal["final", "future", "episode", "random"]


@dataclass(frozen=True)
class Config:
    strategy: Strategy = "future"  # where new goals come from; the best in [HER] section 4.5
    k: CountOrZero = 4  # relabelled for each that is not; 4 or 8 in [HER] section 4.5

    def __post_init__(self) -> None:
        check(self)


def goal_index(
    strategy: Strategy,
    index: Int[Tensor, "*B"],
    first: Int[Tensor, "*B"],
    last: Int[Tensor, "*B"],
    stored: int,
    uniform: Float[Tensor, "*B"],
) -> Int[Tensor, "*B"]:
    r"""The stored step that achieved what becomes the goal of step `index`.

    | strategy | drawn uniformly from |
    |---|---|
    | final | the last step of the same episode |
    | future | the steps of the same episode from this one on: what it achieved itself, or later |
    | episode | all steps of the same episode |
    | random | all steps in the buffer |

    Args:
        index, first, last: the step, and the first and the last of its episode; steps are numbered as they happened.
        stored: the number of steps in the buffer, 0 to `stored` − 1.
        uniform: the draw, in [0, 1); double precision, so that each of a million steps has its turn.
    """
    low, high = {
        "final": (last, last),
        "future": (index, last),
        "episode": (first, last),
        "random": (torch.zeros_like(index), torch.full_like(index, stored - 1)),
    }[strategy]
    return low + (uniform * (high - low + 1)).long()


GoalFunction = Callable[[np.ndarray, np.ndarray, Any], Any]  # achieved (B, G), desired (B, G), info → (B,)


def relabel(
    batch: Batch, goal: Float[Tensor, "B G"], compute_reward: GoalFunction, compute_terminated: GoalFunction
) -> Batch:
    r"""The same transitions as if `goal` had been desired: $(s \| g', a, r(s', g'), s' \| g')$.

    Observations are [achieved goal, desired goal, the rest]; reward and termination are the world's own answers for
    what was achieved in `next_obs`. A world that never, or always, terminates may say so by one number for all. Nothing
    else in the batch changes.
    """
    size = goal.shape[-1]
    obs, next_obs = batch.obs.clone(), batch.next_obs.clone()
    obs[:, size : 2 * size] = next_obs[:, size : 2 * size] = goal
    question: Any = next_obs[:, :size].numpy(), goal.numpy(), {}
    reward, terminated = (
        torch.as_tensor(answer(*question), dtype=torch.float32) for answer in (compute_reward, compute_terminated)
    )
    if reward.shape != (len(goal),):
        raise ValueError(f"compute_reward has shape {tuple(reward.shape)} for {len(goal)} goals: {inputs.GOAL_REMEDY}")
    return replace(batch, obs=obs, next_obs=next_obs, reward=reward, terminated=terminated.expand(len(goal)))


class HindsightReplay(ReplayBuffer):
    """A replay buffer for `env`, which relabels what it samples.

    It samples only steps of episodes that are over: before that it is not known what they achieved, and an early
    choice among few goals would favour the near ones. So `len` counts those, and `learning_starts` must leave room for
    a first episode. An episode is over when it is terminated or truncated, and also if it is given up, see
    `drop_episode`. What remains of an episode whose beginning is overwritten is used as if it had begun there.

    Args:
        env: observes vectors made by `FlattenObservation` from a goal dictionary, and answers `compute_reward` and
            `compute_terminated` for many goals at a time, as gymnasium-robotics' own and those in `envs` do.
        capacity: in transitions, whatever k is.

    Raises:
        ValueError: `env` has no goals, does not put them where they are looked for, or cannot say what many are worth.
    """

    def __init__(self, env: gym.Env, capacity: int, config: Config) -> None:
        size, self.goal_size = inputs.goal_sizes(env)
        super().__init__(capacity, (size,), env.action_space.shape or ())
        self.config = config
        self._compute_reward = inputs.goal_function(env, "compute_reward", (1,))
        self._compute_terminated = inputs.goal_function(env, "compute_terminated", (0, 1))
        self._before, self._after = torch.zeros(2, capacity, dtype=torch.int64)  # steps of the episode, for each step
        self._running = 0  # steps of the episode that is not over

    def __len__(self) -> int:
        return self._size - self._running

    def add(self, transition: Transition) -> None:
        """Store one transition in the place of the oldest.

        Raises:
            ValueError: as `ReplayBuffer.add`; or it spans several steps: what lies between cannot be relabelled.
        """
        if transition.steps != 1:
            raise ValueError(f"steps = {transition.steps}: hindsight relabels single steps, set n_step to 1")
        super().add(transition)
        self._running = min(self._running + 1, self.capacity)
        if transition.terminated or transition.truncated:
            self.drop_episode()

    def drop_episode(self) -> None:
        """End the episode under way at its latest step."""
        steps = torch.arange(self._running)
        rows = (self._position - self._running + steps) % self.capacity
        self._before[rows], self._after[rows] = steps, steps.flip(0)
        self._running = 0

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draw `batch_size` transitions with replacement, each with another goal with probability k / (k + 1).

        Raises:
            ValueError: the episodes that are over have fewer than `batch_size`.
        """
        self._require(batch_size, "from episodes that are over")
        index = torch.randint(len(self), (batch_size,), generator=generator)  # 0 is the oldest step
        uniform, lot = torch.rand(2, batch_size, generator=generator, dtype=torch.float64)
        rows = self._row(index)
        batch = self.gather(rows)
        first, last = (index - self._before[rows]).clamp(min=0), index + self._after[rows]
        source = self._row(goal_index(self.config.strategy, index, first, last, len(self), uniform))
        goal = self._fields["next_obs"].index_select(0, source)[:, : self.goal_size]
        other = relabel(batch, goal, self._compute_reward, self._compute_terminated)
        chosen = lot < self.config.k / (self.config.k + 1)
        return replace(
            batch,
            obs=torch.where(chosen[:, None], other.obs, batch.obs),
            next_obs=torch.where(chosen[:, None], other.next_obs, batch.next_obs),
            reward=torch.where(chosen, other.reward, batch.reward),
            terminated=torch.where(chosen, other.terminated, batch.terminated),
        )

    def _row(self, index: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
        return (index + self._position - self._size) % self.capacity

    def state_dict(self) -> dict[str, Any]:
        around = {"before": self._before[: self._size].clone(), "after": self._after[: self._size].clone()}
        return super().state_dict() | around | {"running": self._running}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._before[: self._size], self._after[: self._size] = state["before"], state["after"]
        self._running = state["running"]
