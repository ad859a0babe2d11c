"""The course's worlds: tabular ones as arrays with a gymnasium face, a road, worlds with goals; and `make`.

A tabular world is a Markov decision process as four arrays, or a grid world written as text. The arrays list, for
every state s and action a, the K things that can happen next. K is 1 in a deterministic world and 3 on a slippery
grid, so the arrays grow with S·A·K, never with S².
"""

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import WrapperSpec
from gymnasium.spaces import Box, Discrete
from jaxtyping import Bool, Float, Int, Shaped
from scipy import sparse

from rlcourse import inputs, spaces
from rlcourse.multi_goal import MultiGoal as MultiGoal
from rlcourse.two_ways import TwoWalkers as TwoWalkers  # registered here, like all worlds of the course
from rlcourse.two_ways import TwoWays as TwoWays

Info = dict[str, Any]  # what gymnasium's worlds say besides: no agent of the course reads it


@dataclass(frozen=True)
class TabularMDP:
    """A finite MDP. Outcome k of action a in state s has probability `probability[s, a, k]`."""

    # The shapes are checked when it is made, for everyone and with a message that names the remedy.
    next_state: Int[np.ndarray, "..."]  # where outcome k leads, (S, A, K)
    probability: Float[np.ndarray, "..."]  # its probability, (S, A, K); sums to 1 over k
    reward: Float[np.ndarray, "..."]  # the reward on the way, (S, A, K)
    terminated: Shaped[np.ndarray, "..."]  # whether the episode ends there, (S, A, K): booleans, or 0 and 1
    start: Float[np.ndarray, "..."]  # distribution of the first state, (S,)

    def __post_init__(self) -> None:
        inputs.check_table(self.next_state, self.probability, self.reward, self.terminated, self.start)
        object.__setattr__(self, "terminated", self.terminated.astype(bool, copy=False))  # ~1 is −2, not False

    @cached_property
    def expected_reward(self) -> Float[np.ndarray, "S A"]:
        """r(s, a), the mean over outcomes; in memory actions run first, as in `transition`."""
        return np.asfortranarray((self.probability * self.reward).sum(-1))

    @cached_property
    def transition(self) -> sparse.csr_array:
        """P(s'|s, a) of the outcomes after which the episode goes on, `(A·S, S)`: row a·S + s.

        Actions run first so that a maximum over actions reads contiguous memory: a sweep is five times faster.
        """
        num_states, num_actions, num_outcomes = self.probability.shape
        weight = (self.probability * ~self.terminated).transpose(1, 0, 2).ravel()
        target = self.next_state.transpose(1, 0, 2).ravel().astype(np.int32)
        rows = np.arange(0, weight.size + 1, num_outcomes, dtype=np.int32)
        return sparse.csr_array((weight, target, rows), shape=(num_actions * num_states, num_states))

    @property
    def num_states(self) -> int:
        return self.next_state.shape[0]

    @property
    def num_actions(self) -> int:
        return self.next_state.shape[1]


def from_gymnasium(env: gym.Env) -> TabularMDP:
    """The same arrays from a gymnasium toy-text environment's own table (FrozenLake, CliffWalking, Taxi).

    Raises:
        ValueError: the environment has no transition table `P`.
    """
    table = getattr(env.unwrapped, "P", None)
    if table is None:
        raise ValueError(
            f"{env} has no transition table P: use a toy-text environment such as FrozenLake-v1 or Taxi-v4"
        )
    num_states, num_actions = len(table), len(table[0])
    shape = (num_states, num_actions, max(len(outcomes) for row in table.values() for outcomes in row.values()))
    # Missing outcomes keep probability 0 and lead back to where they start.
    next_state = np.broadcast_to(np.arange(num_states)[:, None, None], shape).copy()
    probability, reward, terminated = np.zeros(shape), np.zeros(shape), np.zeros(shape, bool)
    for s, row in table.items():
        for a, outcomes in row.items():
            for k, outcome in enumerate(outcomes):
                probability[s, a, k], next_state[s, a, k], reward[s, a, k], terminated[s, a, k] = outcome
    start = np.array(env.unwrapped.initial_state_distrib)  # type: ignore[attr-defined]
    return TabularMDP(next_state, probability, reward, terminated, start)


ACTIONS = ("up", "right", "down", "left")
_STEPS = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])  # (row, column) per action, clockwise
_FREE, _WALL, _START = ".", "#", "S"


@dataclass(frozen=True)
class GridWorld:
    """A grid world written as text: one line per row, one character per cell.

    `.` is free, `#` a wall, `S` a start (several: one is drawn; none: any free cell), `G` a goal, `g` a smaller
    goal, `P` a pit. Entering a goal or a pit pays its reward and ends the episode; walking into a wall or off the
    grid means staying. State s is the cell in row s // width, column s % width; walls count as states that nothing
    reaches, so that values reshape to the picture.
    """

    REWARDS: ClassVar[Mapping[str, float]] = MappingProxyType({"G": 1.0, "g": 0.3, "P": -1.0})  # each ends the episode

    text: str
    slip: float = 0.0  # probability of moving at a right angle to the chosen direction, half of it to either side
    step_cost: float = 0.0  # subtracted from the reward of every step
    # Rewards for entering single cells, {(row, column): reward}, instead of REWARDS.
    cell_rewards: Mapping[tuple[int, int], float] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        inputs.check_grid(self.text.split(), self.REWARDS, f"{_FREE}{_WALL}{_START}", self.slip, self.cell_rewards)

    @property
    def cells(self) -> np.ndarray:
        """The characters, `(rows, columns)`."""
        return np.array([list(row) for row in self.text.split()])

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows = self.text.split()
        return len(rows), len(rows[0])

    @property
    def walls(self) -> Bool[np.ndarray, "rows columns"]:
        return self.cells == _WALL

    @property
    def ends(self) -> Bool[np.ndarray, "rows columns"]:
        """Cells that end the episode."""
        return np.isin(self.cells, list(self.REWARDS))

    @property
    def entry_reward(self) -> Float[np.ndarray, "rows columns"]:
        """The reward for entering each cell, before the step's cost."""
        reward = np.vectorize(lambda cell: self.REWARDS.get(cell, 0.0), otypes=[float])(self.cells)
        for cell, value in self.cell_rewards.items():
            reward[cell] = value
        return reward

    def with_cell(self, row: int, column: int, character: str) -> "GridWorld":
        """The same world with one cell redrawn; a reward of its own is forgotten."""
        cells = self.cells
        cells[row, column] = character
        rewards = {cell: reward for cell, reward in self.cell_rewards.items() if cell != (row, column)}
        return replace(self, text="\n".join("".join(line) for line in cells), cell_rewards=rewards)

    def with_reward(self, row: int, column: int, reward: float) -> "GridWorld":
        """The same world with another reward for entering one cell."""
        return replace(self, cell_rewards={**self.cell_rewards, (row, column): reward})

    def mdp(self) -> TabularMDP:
        """The world as arrays: K = 1 without slip, else 3 (straight on, left turn, right turn)."""
        walls, ends, entry_reward = self.walls, self.ends, self.entry_reward
        height, width = walls.shape
        turns = np.array([0]) if self.slip == 0 else np.array([0, -1, 1])
        chances = np.array([1.0]) if self.slip == 0 else np.array([1 - self.slip, self.slip / 2, self.slip / 2])

        here = np.stack(np.divmod(np.arange(height * width), width), -1)  # (S, 2)
        moves = _STEPS[(np.arange(4)[:, None] + turns) % 4]  # (A, K, 2)
        there = here[:, None, None] + moves  # (S, A, K, 2)
        inside = ((there >= 0) & (there < (height, width))).all(-1)
        there = np.where(inside[..., None], there, here[:, None, None])
        there = np.where(walls[there[..., 0], there[..., 1]][..., None], here[:, None, None], there)

        # An agent that is put on a goal, a pit or a wall stays there and earns 0: so the equations give Q = 0 there.
        absorbing = (walls | ends).ravel()[:, None, None]
        next_state = np.where(absorbing, np.arange(height * width)[:, None, None], there @ (width, 1))
        reward = np.where(absorbing, 0.0, entry_reward.ravel()[next_state] - self.step_cost)
        terminated = absorbing | ends.ravel()[next_state]
        starts = (self.cells == _START).ravel()
        if not starts.any():
            starts = ~(walls | ends).ravel()
        if not starts.any():
            raise ValueError("no cell to start from: leave at least one cell free (.) or mark a start (S)")
        probability = np.broadcast_to(chances, next_state.shape).copy()
        return TabularMDP(next_state, probability, reward, terminated, starts / starts.sum())


class TabularEnv(gym.Env[int, int | np.integer]):
    """The gymnasium face of a `TabularMDP`: `Discrete` observations and actions. Wrap in `TimeLimit` to truncate."""

    def __init__(self, mdp: TabularMDP) -> None:
        self.mdp = mdp
        self.observation_space = Discrete(mdp.num_states)  # type: ignore[assignment]
        self.action_space = Discrete(mdp.num_actions)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[int, Info]:
        super().reset(seed=seed)
        self._state = int(self.np_random.choice(self.mdp.num_states, p=self.mdp.start))
        return self._state, {}

    def step(self, action: int | np.integer) -> tuple[int, float, bool, bool, Info]:
        index = self._state, action
        k = int(self.np_random.choice(self.mdp.probability.shape[-1], p=self.mdp.probability[index]))
        self._state = int(self.mdp.next_state[index][k])
        return self._state, float(self.mdp.reward[index][k]), bool(self.mdp.terminated[index][k]), False, {}


GRIDS: Mapping[str, GridWorld] = MappingProxyType(
    {
        # Russell & Norvig, Artificial Intelligence, figure 17.1: the usual small grid of tutorials.
        "small": GridWorld("""
            ...G
            .#.P
            S...
        """),
        "four-goal": GridWorld("""
            ...G...
            .......
            .......
            G..S..G
            .......
            .......
            ...G...
        """),
        # After Sutton & Barto (2018), example 6.6; here the cliff ends the episode.
        "cliff": GridWorld("""
            ........
            ........
            ........
            SPPPPPPG
        """),
        # A small goal is near the start, a large one far away: too little exploration finds only the small one.
        "two goals": GridWorld("""
            S.g..
            .....
            .##..
            .....
            ....G
        """),
    }
)


def make(env_id: str, **options: Any) -> gym.Env:
    """`gymnasium.make`, its spaces as agents know them: the one place where that happens.

    Bounded actions, of any shape and type, become numbers in [−1, 1] (`UnitActions`); choices and numbered states
    count from 0. What a world observes beyond that stays as it is: `suited.arguments` says which agent it suits.
    """
    return spaces.adapted(gym.make(env_id, **options))


def make_vector(env_id: str, num_envs: int) -> gym.vector.SyncVectorEnv:
    """`num_envs` of `make` side by side; each begins anew in the step it ends.

    `infos["final_obs"]` has the observations that episodes ended with. Gymnasium's default mode would instead insert
    a step from each episode's end to the next one's start, on which the action has no effect.
    """

    makers = [lambda: spaces.CopiedObservation(make(env_id))] * num_envs
    return gym.vector.SyncVectorEnv(makers, autoreset_mode=gym.vector.AutoresetMode.SAME_STEP)


def standardised(env: gym.Env, mean: Float[np.ndarray, " O"], spread: Float[np.ndarray, " O"]) -> gym.Env:
    """The same world, its observations less `mean` and over `spread`: as `buffers.standardise` has changed a buffer."""
    space = Box(-np.inf, np.inf, mean.shape, np.float32)
    return gym.wrappers.TransformObservation(env, lambda obs: ((obs - mean) / spread).astype(np.float32), space)


class RedundantActions(gym.ActionWrapper):
    """Each discrete action `copies` times over: more to maximise over, nothing more to know."""

    def __init__(self, env: gym.Env, copies: int) -> None:
        super().__init__(env)
        assert isinstance(env.action_space, Discrete)
        self.distinct = int(env.action_space.n)
        self.action_space = Discrete(copies * self.distinct)

    def action(self, action: Any) -> int:
        return int(action) % self.distinct


class NoisyReward(gym.RewardWrapper):
    """Rewards with normal noise of mean 0: every expected return stays what it was."""

    def __init__(self, env: gym.Env, scale: float) -> None:
        super().__init__(env)
        self.scale = scale

    def reward(self, reward: Any) -> float:
        return float(reward) + self.scale * float(self.unwrapped.np_random.normal())


def _redundant_cartpole(copies: int, noise: float) -> gym.Env:
    env: gym.Env = RedundantActions(gym.make("CartPole-v1").unwrapped, copies)
    return NoisyReward(env, noise) if noise else env


# Overestimation does harm here: CartPole with 10, 20 or 40 actions, of which half do the same, and noisy rewards.
for _copies in (5, 10, 20):
    for _suffix, _noise in (("", 0.0), ("Noisy", 1.0)):
        gym.register(
            f"rlcourse/CartPole{2 * _copies}Actions{_suffix}-v0",
            entry_point="rlcourse.envs:_redundant_cartpole",
            max_episode_steps=500,
            kwargs={"copies": _copies, "noise": _noise},
        )


def two_floors(offset: float = 0.0) -> TabularMDP:
    """Every step that ends upstairs, in state 1, pays 1; the smallest world in which being somewhere matters.

    Action 0 leads down. Action 1 leads up from downstairs with probability ½, and keeps upstairs with probability 0.9.
    Episodes start downstairs and never end by themselves: give them a horizon.

    Args:
        offset: added to every reward; over a fixed horizon it changes no comparison of policies.
    """
    up = np.array([[0.0, 0.5], [0.0, 0.9]])
    probability = np.stack([1 - up, up], -1)
    next_state = np.broadcast_to(np.array([0, 1]), probability.shape).copy()
    reward = np.broadcast_to(np.array([offset, 1.0 + offset]), probability.shape).copy()
    return TabularMDP(next_state, probability, reward, np.zeros(probability.shape, bool), np.array([1.0, 0.0]))


@dataclass(frozen=True)
class FourGoals:
    """A square room with a goal in each of four directions from its middle: walk one step in one of 16 directions.

    Lengths are in cells of a lattice, `2 * HALF + 1` places wide; state s is the place in row s // width (y, upwards),
    column s % width (x). A step of `STEP` mostly ends between places: then one of the four around is drawn, with the
    weights of bilinear interpolation, so that on average the step ends where it should. Entering a goal pays `REWARD`
    and ends the episode; walls stop the agent. After the multi-goal world of Haarnoja et al. (2017),
    which has no lattice, steps of any length, and a smooth reward.
    """

    HALF: ClassVar[int] = 10
    STEP: ClassVar[float] = 2.0
    DISTANCE: ClassVar[int] = 8  # of the goals, east, north, west, south
    REWARD: ClassVar[float] = 10.0
    DIRECTIONS: ClassVar[int] = 16  # action a is the angle 2π a / 16 from the east, counter-clockwise

    def state(self, x: int | np.integer, y: int | np.integer) -> int:
        """The state at x and y, seen from the middle; a ValueError outside of the room."""
        if not (-self.HALF <= x <= self.HALF and -self.HALF <= y <= self.HALF):
            raise ValueError(f"x = {x}, y = {y} is outside: both must be in [{-self.HALF}, {self.HALF}]")
        return int((y + self.HALF) * (2 * self.HALF + 1) + x + self.HALF)

    @property
    def places(self) -> Int[np.ndarray, "S 2"]:
        """x and y of every state, seen from the middle."""
        width = 2 * self.HALF + 1
        return np.stack(np.divmod(np.arange(width**2), width)[::-1], -1) - self.HALF

    @property
    def goals(self) -> Int[np.ndarray, " 4"]:
        """Their states, in the order of `DISTANCE`."""
        far = self.DISTANCE
        return np.array([self.state(*place) for place in ((far, 0), (0, far), (-far, 0), (0, -far))])

    @property
    def angles(self) -> Float[np.ndarray, " A"]:
        """Of the directions, in radians."""
        return 2 * np.pi * np.arange(self.DIRECTIONS) / self.DIRECTIONS

    def mdp(self) -> TabularMDP:
        """The room as arrays, K = 4; episodes start in the middle."""
        places, goals = self.places, np.zeros((2 * self.HALF + 1) ** 2, bool)
        goals[self.goals] = True
        # Without rounding, cos(π/2) = 6·10⁻¹⁷ would bring in a neighbour.
        moves = np.round(self.STEP * np.stack([np.cos(self.angles), np.sin(self.angles)], -1), 12)
        there = np.clip(places[:, None] + moves, -self.HALF, self.HALF)  # (S, A, 2)
        corner = np.minimum(np.floor(there), self.HALF - 1)
        share = (there - corner)[:, :, None]
        offsets = np.array([(0, 0), (1, 0), (0, 1), (1, 1)])
        probability = np.where(offsets == 1, share, 1 - share).prod(-1)  # (S, A, 4)
        around = (corner[:, :, None] + offsets).astype(int) + self.HALF
        # An agent that is put on a goal stays there and earns 0: so the equations give Q = 0 there.
        stay = goals[:, None, None]
        next_state = np.where(
            stay, np.arange(len(places))[:, None, None], around[..., 1] * (2 * self.HALF + 1) + around[..., 0]
        )
        reward = np.where(stay, 0.0, self.REWARD * goals[next_state])
        start = np.zeros(len(places))
        start[self.state(0, 0)] = 1
        return TabularMDP(next_state, probability, reward, goals[next_state], start)


def road_and_ditch() -> TabularMDP:
    """Drive carefully, action 0, or fast, action 1: on the road, state 0, and in the ditch beside it, state 1.

    Driving fast pays 1 on the road, and one time in ten ends in the ditch. There it costs 1, and nine times in ten the
    wheels only spin. Driving carefully pays nothing, stays on the road, and gets out of the ditch one time in two.
    """
    ditch = np.array([[0.0, 0.1], [0.5, 0.9]])
    probability = np.stack([1 - ditch, ditch], -1)
    next_state = np.broadcast_to(np.array([0, 1]), probability.shape).copy()
    reward = np.broadcast_to(np.array([[0.0, 1.0], [0.0, -1.0]])[..., None], probability.shape).copy()
    return TabularMDP(next_state, probability, reward, np.zeros(probability.shape, bool), np.array([1.0, 0.0]))


class Road(gym.Env[np.ndarray, np.ndarray]):
    """Keep a car on a winding road at constant speed; every step on it pays 1, leaving it or turning round ends it.

    Lengths are in half-widths of the road, so its edges are at offsets −1 and 1. Each episode has another road, a sum
    of three sines, and starts on its centre line. The action is the steering, `(1,)`: the curvature of the car's own
    path, where 1 is the tightest turn. Observed are five numbers: offset from the centre line (left is positive),
    heading relative to it in radians, and the road's curvature here and `AHEAD`.
    """

    SPEED = 0.2  # per step
    BEND = 0.225  # curvature of each sine; together they stay well below the car's tightest turn
    AHEAD: ClassVar[tuple[float, ...]] = (0.3, 0.6)

    def __init__(self) -> None:
        # The last observation of an episode lies at most one step outside of [−1, 1] and [−π/2, π/2].
        self.observation_space = Box(-3.0, 3.0, (5,))
        self.action_space = Box(-1.0, 1.0, (1,))

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[np.ndarray, Info]:
        super().reset(seed=seed)
        self.frequency = self.np_random.uniform(0.2, 0.8, 3)
        self.phase = self.np_random.uniform(0, 2 * np.pi, 3)
        self._distance = self._offset = self._heading = 0.0
        return self._obs(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, Info]:
        bend = float(self._curvature(self._distance))
        # The centre line's part of a step: on the inside of a bend less road goes by outside.
        along = self.SPEED * float(np.cos(self._heading)) / (1 - self._offset * bend)
        self._heading += self.SPEED * float(np.clip(action[0], -1, 1)) - bend * along
        self._distance += along
        self._offset += self.SPEED * float(np.sin(self._heading))
        left = abs(self._offset) > 1 or abs(self._heading) > np.pi / 2
        return self._obs(), 1.0, left, False, {"distance": self._distance, "offset": self._offset}

    def _curvature(self, distance: Any) -> Any:
        return self.BEND * np.sin(self.frequency * np.asarray(distance)[..., None] + self.phase).sum(-1)

    def _obs(self) -> np.ndarray:
        ahead = self._curvature(self._distance + np.array((0.0, *self.AHEAD)))
        return np.array([self._offset, self._heading, *ahead], np.float32)


def road_expert(obs: np.ndarray) -> np.ndarray:
    """Steers on `Road` as the road bends, and back to its centre line; it hardly ever leaves the line."""
    offset, heading, bend = obs[:3]
    return np.clip([bend - offset - 1.5 * heading], -1, 1).astype(np.float32)


class TreeAhead(gym.Env[np.ndarray, np.ndarray]):
    """One step: a tree in the road, observed as its place `(1,)` across it; choose the place `(1,)` where to pass.

    Pays 1 for passing with more than `CLEAR` between the car's middle and the tree's, else 0.
    """

    CLEAR = 0.3

    def __init__(self) -> None:
        self.observation_space = Box(-0.4, 0.4, (1,))
        self.action_space = Box(-1.0, 1.0, (1,))

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[np.ndarray, Info]:
        super().reset(seed=seed)
        self._tree = self.np_random.uniform(-0.4, 0.4, 1).astype(np.float32)
        return self._tree.copy(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, Info]:
        passed = abs(float(action[0] - self._tree[0])) > self.CLEAR
        return self._tree.copy(), float(passed), True, False, {}


@dataclass(frozen=True)
class TwoDrivers:
    """Demonstrators in `TreeAhead`: of two drivers one always passes to the left of the tree, the other right."""

    rng: np.random.Generator  # whose turn it is, each with probability ½, and how exactly they drive

    def __call__(self, obs: np.ndarray) -> np.ndarray:
        side = self.rng.choice((-0.5, 0.5))
        return np.clip(obs + side + 0.05 * self.rng.normal(), -1, 1).astype(np.float32)


gym.register("rlcourse/Road-v0", "rlcourse.envs:Road", max_episode_steps=400)
gym.register("rlcourse/TreeAhead-v0", "rlcourse.envs:TreeAhead")
gym.register("rlcourse/MultiGoal-v0", "rlcourse.multi_goal:MultiGoal", max_episode_steps=50)  # eight times the way
gym.register("rlcourse/TwoWays-v0", "rlcourse.two_ways:TwoWays", max_episode_steps=100)  # about twelve goals


class GoalWorld(gym.Env[dict[str, np.ndarray], Any]):
    """A world in which a goal is to be reached, as Andrychowicz et al. (2017), section 3.2, define it.

    Observed is a dictionary: `observation`, the state; `achieved_goal`, in these worlds the same; `desired_goal`. A
    step pays 0 if it reaches the goal, which ends the episode, and −1 if not; with `dense` minus the distance to the
    goal. The two functions that say so take many goals at a time, `(*B, G)` → `(*B,)`: what hindsight asks.
    """

    def __init__(self, goal_space: gym.Space, dense: bool) -> None:
        self.dense = dense
        names = "achieved_goal", "desired_goal", "observation"
        self.observation_space = gym.spaces.Dict(dict.fromkeys(names, goal_space))  # type: ignore[assignment]

    def distance(self, achieved_goal: np.ndarray, desired_goal: np.ndarray) -> Any:
        """How far it is, 0 only if they are the same."""
        raise NotImplementedError

    def compute_reward(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Any) -> Any:
        distance = self.distance(achieved_goal, desired_goal)
        return -distance if self.dense else np.where(distance > 0, -1.0, 0.0)

    def compute_terminated(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Any) -> Any:
        return self.distance(achieved_goal, desired_goal) == 0

    def _obs(self) -> dict[str, np.ndarray]:
        raise NotImplementedError

    def _outcome(self) -> tuple[dict[str, np.ndarray], float, bool, bool, Info]:
        """What `step` returns, once it has moved."""
        obs = self._obs()
        goals = obs["achieved_goal"], obs["desired_goal"]
        terminated = bool(self.compute_terminated(*goals, {}))
        return obs, float(self.compute_reward(*goals, {})), terminated, False, {"is_success": terminated}


class BitFlip(GoalWorld):
    """n bits and n actions: action i flips bit i. State and goal are drawn from all 2ⁿ, for each episode anew.

    Andrychowicz et al. (2017), section 3.1, who do not say what happens in the goal. Here it ends the episode: there is
    no action that stays. Paid is −1 for each step but the last, or with `dense` minus the number of wrong bits.
    """

    def __init__(self, n: int, dense: bool = False) -> None:
        super().__init__(gym.spaces.MultiBinary(n), dense)
        self.action_space = Discrete(n)
        self.n = n

    def distance(self, achieved_goal: np.ndarray, desired_goal: np.ndarray) -> Any:
        return (achieved_goal != desired_goal).sum(-1).astype(np.float32)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[dict[str, np.ndarray], Info]:
        super().reset(seed=seed)
        self._bits, self._goal = self.np_random.integers(0, 2, (2, self.n), np.int8)
        return self._obs(), {}

    def step(self, action: Any) -> tuple[dict[str, np.ndarray], float, bool, bool, Info]:
        self._bits[action] ^= 1
        return self._outcome()

    def _obs(self) -> dict[str, np.ndarray]:
        return {name: self._bits.copy() for name in ("achieved_goal", "observation")} | {
            "desired_goal": self._goal.copy()
        }


class WallMaze(GoalWorld):
    """A grid in which the goal lies behind the back of a pocket: to reach it, first go away from it.

    A place is (row, column), both scaled to [−1, 1]; the actions are `ACTIONS`. Every episode leads from S to G. With
    `dense` a step pays minus the distance as the crow flies, in cells. That reward is best not where the goal is but in
    the pocket, for γ up to 0.95; for γ from 0.96 on it is the goal again.
    """

    GRID: ClassVar[GridWorld] = GridWorld("""
        .............
        .............
        ..#########..
        ..........#..
        S.........#G.
        ..........#..
        ..#########..
        .............
        .............
    """)

    def __init__(self, dense: bool = False) -> None:
        super().__init__(Box(-1.0, 1.0, (2,)), dense)
        self.action_space = Discrete(len(ACTIONS))
        self._start, self._goal = (np.argwhere(self.GRID.cells == cell)[0] for cell in (_START, "G"))

    def scaled(self, cell: np.ndarray) -> np.ndarray:
        """Rows and columns `(*B, 2)`, as they are observed."""
        return (2 * cell / (np.array(self.GRID.shape) - 1) - 1).astype(np.float32)

    def distance(self, achieved_goal: np.ndarray, desired_goal: np.ndarray) -> Any:
        cells = (achieved_goal - desired_goal) * (np.array(self.GRID.shape, np.float32) - 1) / 2
        return np.linalg.norm(cells, axis=-1)

    def mdp(self) -> TabularMDP:
        """The maze as arrays, in the states of `GRID`; the goal keeps whoever is there, and costs nothing."""
        moves, width = self.GRID.mdp(), self.GRID.shape[1]
        place = self.scaled(np.stack(np.divmod(np.arange(moves.num_states), width), -1))
        reward = self.compute_reward(place, np.broadcast_to(self.scaled(self._goal), place.shape), {})
        return replace(moves, reward=reward[moves.next_state].astype(float))

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[dict[str, np.ndarray], Info]:
        super().reset(seed=seed)
        self._cell = self._start
        return self._obs(), {}

    def step(self, action: Any) -> tuple[dict[str, np.ndarray], float, bool, bool, Info]:
        there = self._cell + _STEPS[action]
        if (there >= 0).all() and (there < self.GRID.shape).all() and not self.GRID.walls[tuple(there)]:
            self._cell = there
        return self._outcome()

    def _obs(self) -> dict[str, np.ndarray]:
        here = self.scaled(self._cell)
        return {"achieved_goal": here, "desired_goal": self.scaled(self._goal), "observation": here.copy()}


def _fetch(task: str, **options: Any) -> gym.Env:
    """gymnasium-robotics' own, imported only when asked for: that takes a second."""
    with contextlib.redirect_stderr(io.StringIO()):  # on import it prints news about other worlds
        import gymnasium_robotics  # noqa: F401  (registers them)
    return gym.make(f"Fetch{task}-v4", **options).unwrapped


class Decimetres(gym.ObservationWrapper):
    """Where things are in a Fetch world: in decimetres from the gripper at rest, not in metres from the room's corner.

    Gymnasium's numbers hardly differ from one place to another: all that Reach asks for lies between 1.19 and 1.49 m
    along x, and success is a matter of 0.05 m. A network needs long to tell such inputs apart; these lie within ±1.5.
    Andrychowicz et al. (2017), appendix A, divide by running standard deviations, which a saved run would have to keep.
    """

    SCALE = 10.0  # decimetres in a metre

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        world: Any = env.unwrapped
        size = env.observation_space["observation"].shape[0]  # type: ignore[index]
        # Of an observation the first numbers are the gripper's place, the object's, and that seen from the gripper.
        moved, scaled = (6, 9) if world.has_object else (3, 3)
        self._corner = np.resize(world.initial_gripper_xpos, size) * (np.arange(size) < moved)
        self._scale = np.where(np.arange(size) < scaled, self.SCALE, 1.0)

    def observation(self, observation: Any) -> dict[str, np.ndarray]:
        goals = {
            name: self.SCALE * (observation[name] - self._corner[:3]) for name in ("achieved_goal", "desired_goal")
        }
        return goals | {"observation": self._scale * (observation["observation"] - self._corner)}

    def compute_reward(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Any) -> Any:
        world: Any = self.env.unwrapped  # its rewards ask for metres, from wherever
        return world.compute_reward(achieved_goal / self.SCALE, desired_goal / self.SCALE, info)


class Success(gym.Wrapper):
    """Pays 1 at an episode's end if it ends in the goal, and nothing else: the mean return is the success rate."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, Info]:
        obs, _, terminated, truncated, info = self.env.step(action)
        return obs, float((terminated or truncated) and info["is_success"]), terminated, truncated, info


def _register_goals(
    name: str,
    version: int,
    entry_point: str,
    steps: int,
    dense: dict[str, Any],
    wrappers: tuple[type[gym.Wrapper], ...] = (),
    **options: Any,
) -> None:
    """Three worlds that observe vectors: with sparse rewards, with dense ones, and one that pays for success."""
    flat = *wrappers, gym.wrappers.FlattenObservation
    for suffix, layers, changes in (("", flat, {}), ("Dense", flat, dense), ("Success", (*flat, Success), {})):
        gym.register(
            f"rlcourse/{name}{suffix}-v{version}",
            entry_point,
            max_episode_steps=steps,
            additional_wrappers=tuple(
                WrapperSpec(layer.__name__, f"{layer.__module__}:{layer.__name__}", {}) for layer in layers
            ),
            kwargs=options | changes,
        )


def register_bit_flip(n: int) -> None:
    """Give gymnasium the worlds of n bits, `rlcourse/BitFlip{n}-v0` with its Dense and Success forms."""
    _register_goals(f"BitFlip{n}", 0, "rlcourse.envs:BitFlip", n, {"dense": True}, n=n)


for _n in (4, 5, 8, 10, 12, 14, 15, 16, 20, 25):  # what the course uses; others by the function above
    register_bit_flip(_n)
_register_goals("WallMaze", 0, "rlcourse.envs:WallMaze", 100, {"dense": True})
for _task in ("Reach", "Push", "Slide", "PickAndPlace"):
    _register_goals(f"Fetch{_task}", 4, "rlcourse.envs:_fetch", 50, {"reward_type": "dense"}, (Decimetres,), task=_task)
