"""What an agent is handed after each step, and the memories it samples batches from.

Papers: Lin (1992), *Self-improving reactive agents* (experience replay); Schaul et al. (2016), *Prioritized experience
replay* [PER]; Hessel et al. (2018), *Rainbow* [R].
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rlcourse import inputs


@dataclass(frozen=True)
class Transition:
    """One step of experience, or a batch of steps if the fields are arrays of equal leading shape."""

    obs: Any  # the observation the action was chosen in
    action: Any
    reward: Any  # what it paid
    next_obs: Any  # the observation that followed; at an episode's end the last one, not the next episode's first
    terminated: Any  # the world ended the episode: nothing after it counts, so do not bootstrap
    truncated: Any  # we ended the episode (a time limit): the world would have gone on, so bootstrap
    steps: Any = 1  # how many steps of the world it spans: 1, and up to n after `n_step`


_CHECKED = ("obs", "action", "reward", "next_obs")
_FLAGS = ("terminated", "truncated")
_LARGEST = float(np.finfo(np.float32).max)  # what networks compute with


@dataclass(frozen=True)
class Batch:
    """B transitions as tensors, ready for an update."""

    obs: Float[Tensor, "B *obs"]  # noqa: F821  (a shape)
    action: Int[Tensor, " B"] | Float[Tensor, "B A"]
    reward: Float[Tensor, " B"]  # over `steps` steps, already discounted
    next_obs: Float[Tensor, "B *obs"]  # noqa: F821  (the observation `steps` steps later)
    terminated: Float[Tensor, " B"]  # 1 where nothing after it counts; else 0, where an episode was truncated, too
    steps: Float[Tensor, " B"]  # that `reward` spans: discount what follows by γ^steps
    probability: Float[Tensor, " B"]  # with which each draw took this transition
    indices: Int[Tensor, " B"]  # where it lies in the buffer


def n_step(transitions: Sequence[Transition], gamma: float) -> Transition:
    r"""The one long transition that m successive ones of an episode make ([R] section 3, multi-step learning).

    $$R = \sum_{k=0}^{m-1} \gamma^k r_{t+k}, \qquad s' = s_{t+m}, \qquad
      y = R + \gamma^m (1 - \text{terminated}) \max_{a'} Q(s_{t+m}, a')$$

    It ends as the last of them ends. All actions but the first come from whoever collected the data: exact for a
    one-step buffer, a bias where that policy was not the greedy one.
    """
    first, last = transitions[0], transitions[-1]
    reward = sum(gamma**k * float(transition.reward) for k, transition in enumerate(transitions))
    return Transition(
        first.obs, first.action, reward, last.next_obs, last.terminated, last.truncated, steps=len(transitions)
    )


class NStep:
    """Turns the stream of single transitions into one of n-step transitions; no window crosses an episode's end.

    Every transition starts one window. A window that the end cuts short, be it termination or truncation, spans the
    steps that there are; its `steps` says how many.
    """

    def __init__(self, n: int, gamma: float) -> None:
        self.n, self.gamma = n, gamma
        self.pending: deque[Transition] = deque()

    def __call__(self, transition: Transition) -> Iterator[Transition]:
        self.pending.append(transition)
        if transition.terminated or transition.truncated:
            yield from self.drop_episode()
        elif len(self.pending) == self.n:
            yield self._oldest()

    def drop_episode(self) -> Iterator[Transition]:
        """The windows that are under way, each with the steps that there are: the episode is over, or given up."""
        while self.pending:
            yield self._oldest()

    def _oldest(self) -> Transition:
        window = n_step(self.pending, self.gamma)
        self.pending.popleft()
        return window


class Rollout:
    """Successive transitions, of one environment or of N side by side, until an update takes them all."""

    def __init__(self) -> None:
        self.transitions: list[Transition] = []

    def __len__(self) -> int:
        return len(self.transitions)

    def add(self, transition: Transition) -> None:
        """Append one transition.

        Raises:
            ValueError: a number that is NaN, infinite or beyond float32's range; nothing is stored.
        """
        for name in _CHECKED:
            value = getattr(transition, name)
            if not np.abs(value).max(initial=0) <= _LARGEST:  # true for NaN, too
                raise inputs.not_finite(name, value)
        self.transitions.append(transition)

    def truncate(self) -> None:
        """The environments begin anew: the last transition ends each episode that is under way."""
        if self.transitions:
            last = self.transitions[-1]
            ends = np.logical_or(last.truncated, np.logical_not(last.terminated))
            self.transitions[-1] = replace(last, truncated=ends)

    def drop_episode(self) -> None:
        """Forget the episode that is under way, of one environment: nobody knows how it would have ended."""
        while self.transitions and not (self.transitions[-1].terminated or self.transitions[-1].truncated):
            self.transitions.pop()

    def take(self) -> Transition:
        """All transitions as one, each field an array with a leading axis of time; the rollout is empty afterwards.

        Raises:
            ValueError: a flag that is neither true nor false.
        """
        fields = {
            name: np.array([getattr(transition, name) for transition in self.transitions])
            for name in (*_CHECKED, *_FLAGS)
        }
        for name in _FLAGS:
            inputs.check_flags(name, fields[name])
            fields[name] = fields[name].astype(bool)
        self.transitions.clear()
        return Transition(**fields)


class ReplayBuffer:
    """The latest `capacity` transitions, all equally likely to be sampled.

    Args:
        capacity: in transitions; all memory is taken at once, and the oldest are overwritten.
        obs_shape: of one observation; stored as float32.
        action_shape: of one action, `(A,)`; `()` for a discrete one, an integer.
    """

    def __init__(self, capacity: int, obs_shape: tuple[int, ...], action_shape: tuple[int, ...] = ()) -> None:
        if capacity < 1:
            raise ValueError(f"capacity = {capacity} is out of range: it must be in [1, inf)")
        self.capacity = capacity
        self._fields = {
            "obs": torch.zeros(capacity, *obs_shape, dtype=torch.float32),
            "action": torch.zeros(capacity, *action_shape, dtype=torch.float32 if action_shape else torch.int64),
            "reward": torch.zeros(capacity, dtype=torch.float32),
            "next_obs": torch.zeros(capacity, *obs_shape, dtype=torch.float32),
            "terminated": torch.zeros(capacity, dtype=torch.float32),
            "steps": torch.zeros(capacity, dtype=torch.float32),
        }
        # The same memory seen by numpy, in which writing a single row is several times faster.
        self._rows = {name: field.numpy() for name, field in self._fields.items()}
        self._size = self._position = 0

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        # Copying and pickling separate memory and view: a copy would write to memory that it does not read.
        self._rows = {name: field.numpy() for name, field in self._fields.items()}

    def __len__(self) -> int:
        return self._size

    def add(self, transition: Transition) -> None:
        """Store one transition in the place of the oldest.

        Raises:
            ValueError: a field of the wrong shape, NaN or infinite, a fractional discrete action, or a flag that is
                neither true nor false; nothing is stored.
        """
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes inf, and is refused as such
            row = {name: inputs.row(name, getattr(transition, name), self._rows[name]) for name in _CHECKED}
        if transition.terminated not in (0, 1):  # asked first, because the check takes longer than all the rest
            inputs.check_flags("terminated", transition.terminated)
        row |= {"terminated": transition.terminated, "steps": transition.steps}
        for name, value in row.items():
            self._rows[name][self._position] = value
        self._position = (self._position + 1) % self.capacity
        self._size = min(self._size + 1, self.capacity)

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draw `batch_size` transitions with replacement.

        Raises:
            ValueError: the buffer holds fewer than `batch_size`.
        """
        self._require(batch_size)
        return self.gather(torch.randint(self._size, (batch_size,), generator=generator))

    def _require(self, batch_size: int, which: str = "in the buffer") -> None:
        if not 1 <= batch_size <= len(self):
            raise ValueError(
                f"batch_size = {batch_size} is out of range: it must be in [1, {len(self)}], the number of "
                f"transitions {which}; collect more first (learning_starts)"
            )

    def gather(self, indices: Int[Tensor, " B"]) -> Batch:
        """The transitions at `indices`; `gather(torch.arange(len(buffer)))` is all of them."""
        fields = {name: field.index_select(0, indices) for name, field in self._fields.items()}
        return Batch(**fields, probability=self._probability(indices), indices=indices)

    def _probability(self, indices: Int[Tensor, " B"]) -> Float[Tensor, " B"]:
        return torch.full(indices.shape, 1 / max(len(self), 1), dtype=torch.float32)

    def state_dict(self) -> dict[str, Any]:
        fields = {name: field[: self._size].clone() for name, field in self._fields.items()}  # a slice saves it all
        return {"capacity": self.capacity, "position": self._position, "fields": fields}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned.

        Raises:
            ValueError: it comes from a buffer of another capacity or other shapes.
        """
        saved = {name: (state["capacity"], *field.shape[1:]) for name, field in state["fields"].items()}
        own = {name: tuple(field.shape) for name, field in self._fields.items()}
        if saved != own:
            raise ValueError(f"saved from a buffer of shapes {saved}, but this one has {own}: make it as that one was")
        for name, field in state["fields"].items():
            self._fields[name][: len(field)] = field
        self._size, self._position = len(state["fields"]["reward"]), state["position"]


def standardise(replay: ReplayBuffer) -> tuple[Float[np.ndarray, " O"], Float[np.ndarray, " O"]]:
    """Give the observations in a buffer mean 0 and spread 1, in place; returns the mean and the spread they had.

    Fujimoto and Gu (2021), *A minimalist approach to offline reinforcement learning*, section 5, with their 0.001 added
    to the spread. What acts on the result must see the world in the same way: `envs.standardised`.
    """
    state = replay.state_dict()
    fields = state["fields"]
    mean, spread = fields["obs"].mean(0), fields["obs"].std(0, correction=0) + 1e-3
    for name in ("obs", "next_obs"):
        fields[name] = (fields[name] - mean) / spread
    replay.load_state_dict(state)
    return mean.numpy(), spread.numpy()


_RADIX = 32  # measured: with 32 × 32 below, the top level has 977 sums at a million transitions


class PrioritizedReplay(ReplayBuffer):
    r"""Samples transition i with probability $P(i) = p_i / \sum_k p_k$ ([PER] eq. 1).

    The $p_i$ are taken as given: how they come from TD errors is the algorithm's affair. New transitions enter with
    the largest priority so far, so that each is soon replayed. Draws are independent; [PER] stratifies them.

    Priorities form a tree of three levels: single ones in rows of 32, rows in blocks of 32, and a sum for each block.
    A draw goes down from block to row to transition. Sums above a changed priority are computed anew rather than
    adjusted, and in float64, so that they cannot drift.
    """

    def __init__(self, capacity: int, obs_shape: tuple[int, ...], action_shape: tuple[int, ...] = ()) -> None:
        super().__init__(capacity, obs_shape, action_shape)
        blocks = -(-capacity // _RADIX**2)
        self._priority_rows = torch.zeros(blocks * _RADIX, _RADIX, dtype=torch.float32)  # (row, transition)
        self._row_sums = torch.zeros(blocks, _RADIX, dtype=torch.float64)  # (block, sum of a row)
        self._blocks = torch.zeros(blocks, dtype=torch.float64)  # sums of blocks
        self.max_priority = 1.0

    @property
    def priorities(self) -> Float[Tensor, " size"]:
        """Of every transition in the buffer, a view."""
        return self._priority_rows.view(-1)[: self._size]

    def add(self, transition: Transition) -> None:
        position = self._position
        super().add(transition)
        self._set(torch.tensor([position]), self.max_priority)

    def update_priorities(self, indices: Int[Tensor, " B"], priorities: Float[Tensor, " B"]) -> None:
        """Replace the priorities of the transitions at `indices` (a batch's).

        Raises:
            ValueError: a priority that is NaN, infinite or not positive; nothing is changed.
        """
        lowest, highest = (float(end) for end in priorities.aminmax())
        if not 0 < lowest <= highest < float("inf"):  # false for NaN too
            raise ValueError(
                f"priorities lie in [{lowest}, {highest}]: they must be in (0, inf); "
                "has the network diverged, or is the priority's lower bound missing?"
            )
        self.max_priority = max(self.max_priority, highest)
        self._set(indices, priorities)

    def reset_max_priority(self) -> None:
        """Let new transitions enter with the largest priority in the buffer, no longer with the largest ever."""
        self.max_priority = float(self.priorities.max())

    def _set(self, indices: Tensor, priorities: Tensor | float) -> None:
        self._priority_rows.view(-1)[indices] = priorities
        rows = indices // _RADIX
        self._row_sums.view(-1)[rows] = self._priority_rows.index_select(0, rows).sum(-1, dtype=torch.float64)
        blocks = rows // _RADIX
        self._blocks[blocks] = self._row_sums.index_select(0, blocks).sum(-1)

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        self._require(batch_size)
        uniform = torch.rand(3, batch_size, 1, generator=generator, dtype=torch.float64)
        block = _draw(self._blocks.expand(1, -1), uniform[0].T).squeeze(0)
        row = block * _RADIX + _draw(self._row_sums.index_select(0, block), uniform[1]).squeeze(1)
        return self.gather(row * _RADIX + _draw(self._priority_rows.index_select(0, row), uniform[2]).squeeze(1))

    def _probability(self, indices: Int[Tensor, " B"]) -> Float[Tensor, " B"]:
        return (self.priorities[indices] / self._blocks.sum()).float()

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"priorities": self.priorities.clone(), "max_priority": self.max_priority}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._priority_rows.zero_().view(-1)[: self._size] = state["priorities"]
        self._row_sums.copy_(self._priority_rows.sum(-1, dtype=torch.float64).view_as(self._row_sums))
        self._blocks.copy_(self._row_sums.sum(-1))
        self.max_priority = state["max_priority"]


def _draw(weights: Float[Tensor, "N K"], uniform: Float[Tensor, "N M"]) -> Int[Tensor, "N M"]:
    """In each row the item whose share of [0, 1) holds `uniform`; never one of weight 0."""
    upper = weights.cumsum(-1, dtype=torch.float64)
    return torch.searchsorted(upper, uniform * upper[:, -1:], right=True)
