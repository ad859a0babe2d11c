"""Every agent in every kind of world: the world receives what the agent meant, or the agent is refused by name."""

import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import cache, partial
from inspect import unwrap
from itertools import product
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import (
    Box,
    Dict,
    Discrete,
    Graph,
    MultiBinary,
    MultiDiscrete,
    OneOf,
    Sequence,
    Space,
    Text,
    Tuple,
)

from rlcourse import envs, loop
from rlcourse.algorithms import AGENTS, agent_class, config_class
from rlcourse.runs import Experiment
from rlcourse.suited import arguments

SAME_STEP = gym.vector.AutoresetMode.SAME_STEP


class Recording(gym.Env[Any, Any]):
    """Observes anything, does nothing, is cut after five steps, and remembers what it was given and what it showed."""

    def __init__(self, seen: Space, done: Space) -> None:
        self.observation_space, self.action_space = seen, done
        self.received: list[Any] = []
        self.shown: list[Any] = []

    def _show(self) -> Any:
        self.shown.append(self.observation_space.sample())
        return self.shown[-1]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(0)
        return self._show(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.received.append(action)
        return self._show(), 1.0, False, len(self.received) % 5 == 0, {}


gym.register("Recording-v0", f"{__name__}:Recording", disable_env_checker=True)


def make(seen: Space, done: Space) -> gym.Env:
    return envs.make("Recording-v0", seen=seen, done=done)


@cache
def shown(seen: str, done: str) -> gym.Env:
    """A world to look at only."""
    return make(OBSERVATIONS[seen][1], ACTIONS[done][1])


OTHER: dict[str, Space] = {
    "many choices": MultiDiscrete([2, 3]),
    "many numbered from 5": MultiDiscrete([2, 3], start=[5, 5]),
    "a matrix of bits": MultiBinary((2, 2)),
    "dict": Dict({"a": Box(-1.0, 1.0, (2,)), "b": Discrete(2)}),
    "tuple": Tuple((Discrete(32), Discrete(11), Discrete(2))),
    "text": Text(5),
    "sequence": Sequence(Box(-1.0, 1.0, (2,))),
    "graph": Graph(Box(-1.0, 1.0, (2,)), None),
    "one of": OneOf((Discrete(2), Box(-1.0, 1.0, (2,)))),
}
CHOICES: dict[str, Space] = {
    "choice": Discrete(3),
    "choice from 5": Discrete(3, start=5),
    "choice from below 0": Discrete(3, start=-4),
}
BOUNDED: dict[str, Space] = {
    "unit": Box(-1.0, 1.0, (2,)),
    "wider": Box(-2.0, 2.0, (1,)),
    "no middle of 0": Box(-1.0, -0.4, (2,)),
    "bounds of their own": Box(np.array([-1.0, 0.0], np.float32), np.array([3.0, 10.0], np.float32)),
    "float64": Box(-1.0, -0.4, (2,), np.float64),
    "whole numbers": Box(-10, 20, (2,), np.int32),
    "bytes": Box(0, 255, (2,), np.uint8),
    "one number": Box(0.0, 1.0, ()),
    "a matrix": Box(-2.0, 3.0, (2, 2)),
    "pixels": Box(0, 255, (2, 2, 3), np.uint8),
    "a fixed part": Box(np.array([-1.0, 2.0], np.float32), np.array([1.0, 2.0], np.float32)),
}
UNBOUNDED: dict[str, Space] = {
    "unbounded": Box(-np.inf, np.inf, (2,)),
    "bounded below": Box(0.0, np.inf, (2,)),
    "bounded above": Box(-np.inf, 0.0, (2,)),
    "bounded in part": Box(np.array([-1.0, -np.inf], np.float32), np.ones(2, np.float32)),
    "all whole numbers": Box(-(2**62), 2**62, (2,), np.int64),
}
ACTIONS: dict[str, tuple[str, Space]] = {
    **{name: ("choice", space) for name, space in CHOICES.items()},
    **{name: ("numbers", space) for name, space in BOUNDED.items()},
    **{name: ("", space) for name, space in (UNBOUNDED | OTHER).items()},
    "bits": ("", MultiBinary(3)),
}
OBSERVATIONS: dict[str, tuple[str, Space]] = {
    **{name: ("number", space) for name, space in CHOICES.items()},
    **{
        name: ("vector" if len(space.shape or ()) == 1 else "", space)
        for name, space in {**BOUNDED, **UNBOUNDED}.items()
        if name != "all whole numbers"
    },
    **{name: ("", space) for name, space in OTHER.items()},
    "bits": ("vector", MultiBinary(3)),
}
ONLY_CHOICES, ONLY_NUMBERS = {("vector", "choice")}, {("vector", "numbers")}
BOTH = ONLY_CHOICES | ONLY_NUMBERS
FROM_DATASETS = ("iql", "cql", "edac")
SUITS: Mapping[str, set[tuple[str, str]]] = {
    "q_learning": {("number", "choice")},
    **dict.fromkeys(("dqn", "rainbow"), ONLY_CHOICES),
    **dict.fromkeys(("reinforce", "actor_critic", "ppo"), BOTH),
    **dict.fromkeys(("ddpg", "double_ac", "td3", "off_policy_ac", "sac", "td7", *FROM_DATASETS), ONLY_NUMBERS),
    **dict.fromkeys(("mixture_sac", "soft_q_learning"), ONLY_NUMBERS),
}
SMALL: dict[str, Any] = {
    "hidden": (4,), "buffer_size": 50, "learning_starts": 6, "batch_size": 2, "num_envs": 2, "rollout_steps": 4,
    "n_step": 2, "embedding": 4, "updates": 1, "epochs": 1,
}  # fmt: skip


def config_of(agent: str) -> Any:
    kind = config_class(agent)
    return kind(**{name: value for name, value in SMALL.items() if name in kind.__annotations__})


def meant(space: Space, action: np.ndarray) -> Any:
    """What the world should receive, worked out from the bounds: −1 is the lowest, 1 the highest, in proportion."""
    if isinstance(space, Discrete):
        return int(space.start) + int(action)
    assert isinstance(space, Box)
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    share = (np.clip(action.astype(np.float64), -1, 1).reshape(space.shape) + 1) / 2
    return (1 - share) * low + share * high


def _same(world: gym.Env) -> gym.Env:
    return world


def lived(
    name: str, seen: Space, done: Space, rounds: int, learns: bool
) -> tuple[list[Recording], list[Any], list[Any]]:
    """Worlds in which an agent has acted in its own loop, what it meant to do, and what it observed.

    An agent that does not learn does not explore at random first, either: its networks act.
    """
    config = config_of(name)
    vector, worlds = hasattr(config, "num_envs"), [make(seen, done) for _ in range(getattr(config, "num_envs", 1))]
    agent = agent_class(name)(*arguments(name, worlds[0]), config, 0)
    actions: list[Any] = []
    observed: list[Any] = []
    observe = agent.observe

    def listen(transition: Any) -> None:
        actions.append(np.asarray(transition.action))
        observed.append(transition.obs)
        observe(transition)

    agent.observe = listen
    if not learns:
        agent.learn = lambda: iter(())
        agent.steps = SMALL["learning_starts"]  # by which the first actions are no longer random
    if vector:
        env = gym.vector.SyncVectorEnv([partial(_same, world) for world in worlds], autoreset_mode=SAME_STEP)
        steps: Any = loop.train_vector(env, agent, 2 * rounds, seed=0)
    else:
        steps = loop.train(worlds[0], agent, rounds, seed=0)
    for _ in steps:
        pass
    recordings: Any = [world.unwrapped for world in worlds]
    if vector:
        actions, observed = ([row[i] for i in range(2) for row in rows] for rows in (actions, observed))
    return recordings, actions, observed


def check(name: str, seen_name: str, done_name: str, rounds: int, learns: bool) -> None:
    seen, done = OBSERVATIONS[seen_name][1], ACTIONS[done_name][1]
    recordings, actions, observed = lived(name, seen, done, rounds, learns)
    received = [action for recording in recordings for action in recording.received]
    assert len(received) == len(actions) == rounds * len(recordings)
    for action, world_received in zip(actions, received, strict=True):
        assert done.contains(world_received), (name, done, world_received)
        whole = isinstance(done, Box) and done.dtype.kind in "iu"
        tolerance: Any = {"atol": 0.5 + 1e-5, "rtol": 0} if whole else {"rtol": 1e-5, "atol": 1e-6}
        np.testing.assert_allclose(np.asarray(world_received, float), meant(done, action), **tolerance)
    first = recordings[0].shown[0] - (int(seen.start) if isinstance(seen, Discrete) else 0)
    np.testing.assert_array_equal(np.asarray(observed[0], float), np.asarray(first, float))


@pytest.mark.thorough
@pytest.mark.parametrize("name", AGENTS)
def test_the_world_receives_what_the_agent_meant_or_the_agent_is_refused(name: str) -> None:
    suited = []
    for (seen, (seen_kind, _)), (done, (done_kind, _)) in product(OBSERVATIONS.items(), ACTIONS.items()):
        if (seen_kind, done_kind) in SUITS[name]:
            suited.append((seen, done))
            continue
        with pytest.raises(ValueError, match="does not suit") as refused:
            arguments(name, shown(seen, done))
        message = str(refused.value)
        assert message.startswith(f"agent = '{name}' does not suit Recording-v0, whose observation_space = ")
        # nobody is told to take one that is meant for datasets
        others = [agent for agent in AGENTS if (seen_kind, done_kind) in SUITS[agent] and agent not in FROM_DATASETS]
        if others:
            assert message.endswith(f": take {' or '.join(others)}")
        else:
            assert message.endswith(
                "FlattenObservation, which makes one vector of what is observed"
                if done_kind
                else "make them one choice (Discrete) or a Box with bounds"
            )
    # Each of what is observed and of what is done is learned from once; every pair of them is acted on.
    learned = {next(pair for pair in suited if pair[0] == seen) for seen, _ in suited}
    learned |= {next(pair for pair in suited if pair[1] == done) for _, done in suited}
    for pair in suited:
        if pair in learned:
            check(name, *pair, rounds=12, learns=True)
        else:
            check(name, *pair, rounds=2, learns=False)


@pytest.mark.parametrize("space", [*BOUNDED.values(), Box(-1e10, 1e-10, (1,)), Box(0.0, 1e-40, (1,))], ids=str)
def test_bounds_are_met_exactly_and_never_passed(space: Box) -> None:
    """For the whole scale from −1 to 1 and beyond; Box(−1, −0.4) would give −0.39999998 at 1."""
    env = make(Box(-1.0, 1.0, (1,)), space)
    size = env.action_space.shape[0]  # type: ignore[index]
    act: Callable[[float], np.ndarray] = lambda number: env.action(np.full(size, number, np.float32))  # type: ignore[attr-defined]  # noqa: E731
    for lowest, highest in ((-1, 1), (-7, 7)):
        np.testing.assert_array_equal(act(lowest), space.low)
        np.testing.assert_array_equal(act(highest), space.high)
    scale = np.concatenate([np.linspace(-1, 1, 41), 1 - np.logspace(-8, -2, 20), np.logspace(-8, -2, 20) - 1])
    given = np.array([act(number) for number in np.sort(scale)])
    assert given.dtype == space.dtype
    assert ((space.low <= given) & (given <= space.high)).all()
    assert (np.diff(given.astype(float), axis=0) >= 0).all()


def test_old_runs_repeat_with_bounds_around_0() -> None:
    """Bit for bit what gymnasium's `RescaleAction` gave, by which every recording was made."""
    numbers = np.random.default_rng(0).uniform(-1, 1, (300, 2)).astype(np.float32)
    for bound in (0.4, 1.0, 2.0, 3.0):
        ours = make(Box(-1.0, 1.0, (1,)), Box(-bound, bound, (2,)))
        theirs: Any = gym.wrappers.RescaleAction(
            Recording(Box(-1.0, 1.0, (1,)), Box(-bound, bound, (2,))), np.float32(-1), np.float32(1)
        )
        for number in numbers:
            np.testing.assert_array_equal(ours.action(number), theirs.func(number))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("agent", "env", "remedy"),
    [
        (
            "dqn",
            "Pendulum-v1",
            "take reinforce or actor_critic or ppo or ddpg or double_ac or td3 or off_policy_ac or sac or "
            "mixture_sac or soft_q_learning or td7",
        ),
        ("q_learning", "CartPole-v1", "take dqn or rainbow or reinforce or actor_critic or ppo"),
        ("dqn", "FrozenLake-v1", "take q_learning"),
        ("ppo", "FrozenLake-v1", "take q_learning"),
        ("ppo", "Blackjack-v1", "FlattenObservation, which makes one vector of what is observed"),
        ("td3", "CartPole-v1", "take dqn or rainbow or reinforce or actor_critic or ppo"),
    ],
)
def test_an_experiment_is_refused_before_anything_is_trained(agent: str, env: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=rf"^agent = '{agent}' does not suit {env}, .*{re.escape(remedy)}$"):
        Experiment(agent, env, 100, config_of(agent)).make_agent(0)


def test_an_evaluation_in_another_kind_of_world_is_refused() -> None:
    experiment = Experiment("dqn", "CartPole-v1", 100, config_of("dqn"), evaluation_env="Acrobot-v1")
    with pytest.raises(
        ValueError, match=r"^evaluation_env = 'Acrobot-v1' has .* they must be those of env = 'CartPole"
    ):
        experiment.make_evaluation_env()
    assert Experiment("dqn", "CartPole-v1", 100, None, evaluation_env="CartPole-v1").make_evaluation_env()


class Far:
    """An agent that always means 3 in its first number and −3 in its second."""

    def __init__(self, **config: Any) -> None:
        self.seen: list[Any] = []
        if config:
            self.config = SimpleNamespace(**config)

    def act(self, obs: Any, explore: bool = True) -> Any:
        return np.broadcast_to(np.array([3.0, -3.0], np.float32), (*obs.shape[:-1], 2))

    def observe(self, transition: Any) -> None:
        self.seen.append(transition.action)

    def learn(self) -> Any:
        return iter(())

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@pytest.mark.parametrize("rescaled", [True, False])
def test_both_loops_and_evaluations_clip_and_the_agent_is_told_what_it_chose(rescaled: bool) -> None:
    """Box(−2, 2): where `envs.make` rescales, 3 is 2; where it is left out, the world's own bound says so, too."""
    spaces = Box(-1.0, 1.0, (2,)), Box(-2.0, 2.0, (2,))
    one, other, third = (make(*spaces) if rescaled else Recording(*spaces) for _ in range(3))
    alone, beside = Far(), Far(num_envs=1)
    list(loop.train(one, alone, 7, seed=0))
    list(loop.train_vector(gym.vector.SyncVectorEnv([lambda: other], autoreset_mode=SAME_STEP), beside, 7, seed=0))
    loop.evaluate(third, alone, 1, seed=0)
    for world, steps in ((one, 7), (other, 7), (third, 5)):
        received: Any = world.unwrapped
        assert np.array(received.received).tolist() == [[2, -2]] * steps
    assert np.array(alone.seen).tolist() == [[3, -3]] * 7
    assert np.array(beside.seen).tolist() == [[[3, -3]]] * 7


def test_agents_and_worlds_of_the_other_loop_are_refused() -> None:
    spaces = Box(-1.0, 1.0, (3,)), Discrete(2)
    single, several = make(*spaces), gym.vector.SyncVectorEnv([lambda: make(*spaces)] * 2, autoreset_mode=SAME_STEP)
    ppo, dqn = (
        agent_class(name)(3, Discrete(2) if name == "ppo" else 2, config_of(name), 0) for name in ("ppo", "dqn")
    )
    for training in (
        loop.train(single, ppo, 10, 0),
        loop.train_vector(several, dqn, 10, 0),
        unwrap(loop.train)(several, dqn, 10, 0),  # past the tests' type checks
        unwrap(loop.train_vector)(single, ppo, 10, 0),
    ):
        with pytest.raises(ValueError, match=r"^(PPO|DQN) in .* cannot learn in this loop: train is for agents of one"):
            next(training)


WRONG = """
from gymnasium.spaces import Box, Discrete
from rlcourse.algorithms import AGENTS, agent_class, config_class

box, choice = Box(-1.0, 1.0, (2,)), Discrete(2)
for name in AGENTS:
    counts = name in ("q_learning", "dqn", "rainbow")  # told the number of actions, not their space
    wrong = [(Box(-1.0, 1.0, (3,)), 2 if counts else box)]
    if counts:
        wrong += [(3, box), (3, choice)]
    elif name not in ("reinforce", "actor_critic", "ppo"):
        wrong += [(3, choice), (3, 2)]
    for sizes in wrong:
        try:
            agent_class(name)(*sizes, config_class(name)(), 0)
            print(name, sizes, "was accepted")
        except Exception as error:
            print(name, type(error).__name__, error)
"""


@pytest.mark.thorough
def test_a_space_in_place_of_its_size_and_actions_of_the_wrong_kind_are_refused_in_words() -> None:
    # In a process of its own, because here the tests' type checks come first.
    found = subprocess.run(
        [sys.executable, "-c", WRONG], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    refusal = re.compile(r"\w+ ValueError .*(is no whole number from 1 on; of observations|must be a Box from -1 to 1)")
    assert len(found) >= 2 * len(AGENTS)
    assert [line for line in found if not refusal.match(line)] == []
