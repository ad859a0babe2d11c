"""The ladder: worlds whose true values are known, in the order in which to look for the bug; and how each page trains.

The tests hold every agent of the course to the same rungs.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from inspect import signature
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Discrete, flatdim

from rlcourse import envs, lessons, loop, probes
from rlcourse.algorithms import dqn
from rlcourse.buffers import Transition

GAMMA = 0.5  # far from 1, so that every mistake is large
TOLERANCE = 0.1
SHORT = 60  # environment steps where a notebook runs only to see that it runs
SLOW_GAMMA = 0.9  # from here on the values of a world without end take too long to learn exactly


Place = float | tuple[str, str]  # what is observed: a number, or bits and goal, such as "01" and "11"


@dataclass(frozen=True)
class Rung:
    """One world, its true values, and what an agent that misses them usually does wrong.

    Attributes:
        truth: γ → for each observation and action (−1 or 1, that is the first or the second) that occur, the true
            Q(s, a).
        best: for each observation in which the action matters, the best one.
    """

    world: type[probes.Probe] | type[probes.GoalProbe]
    cause: str
    truth: Callable[[float], Mapping[tuple[Any, int], float]]  # of places
    best: Mapping[Any, int] = field(default_factory=dict)


RUNGS = (
    Rung(
        probes.ConstantReward,
        "the critic does not learn (no optimiser step, a wrong sign, a gradient that was cut off), it learns the value "
        "of another action than the one taken or never tries one, it bootstraps past a terminated step (the mask "
        "(1 − terminated) is missing), it adds rewards of the next episode, or the actor's loss moves the critic (an "
        "advantage that keeps its gradient)",
        lambda gamma: {(0.0, 1): 1.0},
    ),
    Rung(
        probes.ObservationMatters,
        "rows are mixed up: observations and rewards of different steps meet, a memory hands out the same array again, "
        "or a (B, 1) met a (B,), so that every prediction is compared with every target and all become the average",
        lambda gamma: {(-1.0, 1): -1.0, (1.0, 1): 1.0},
    ),
    Rung(
        probes.Discounting,
        "the target: γ is missing or counted twice, it uses the observation instead of the next one, it does not "
        "bootstrap, or the target network never follows; or nothing is explored, so that the better action is never "
        "tried",
        lambda gamma: {(0.0, 1): gamma, (1.0, 1): 1.0},
    ),
    Rung(
        probes.ActionMatters,
        "actions are mixed up: Q of another action is learned than the one that was taken, the actor goes downhill (a "
        "wrong sign), the policy does not follow the values, or nothing is ever explored",
        lambda gamma: {(0.0, -1): -1.0, (0.0, 1): 1.0},
        {0.0: 1},
    ),
    Rung(
        probes.NextActionMatters,
        "the target judges another policy than the one that is to be learned: no maximum over the next actions, the "
        "action that was taken instead of the policy's, or several off-policy steps in one target",
        lambda gamma: {(0.0, 1): gamma, (1.0, -1): -1.0, (1.0, 1): 1.0},
        {1.0: 1},
    ),
    Rung(
        probes.TruncationIsNotTermination,
        "a time limit is taken for an end: mask with `terminated`, never with `terminated or truncated`",
        lambda gamma: {(0.0, 1): 1 / (1 - gamma), (1.0, 1): 1 / (1 - gamma)},
    ),
)
assert tuple(rung.world for rung in RUNGS) == probes.PROBES
GOAL_RUNGS = (
    Rung(
        probes.GoalReached,
        "a relabelled transition is not true: reward and end must be asked anew, for what was achieved in `next_obs`, "
        "and the new goal must stand in `obs`, too; or nothing is learned, since the memory never sees an episode end",
        lambda gamma: {(("0", "1"), -1): 0.0, (("1", "0"), -1): 0.0},
    ),
    Rung(
        probes.GoalReachedLater,
        "`next_obs` keeps the old goal, so that the target asks for the value of another goal than `obs` does",
        lambda gamma: {(("00", "11"), -1): -1.0, (("00", "10"), -1): 0.0, (("00", "10"), 1): -1.0 - gamma},
        {("00", "10"): -1, ("00", "01"): 1},
    ),
    Rung(
        probes.GoalNeverSet,
        "hindsight does not happen: nothing is relabelled, or the new goals are not what steps have achieved",
        lambda gamma: {(("00", "10"), -1): 0.0, (("11", "10"), 1): 0.0},
    ),
)
assert tuple(rung.world for rung in GOAL_RUNGS) == probes.GOAL_PROBES
WIDTH = max(len(rung.world.__name__) for rung in (*RUNGS, *GOAL_RUNGS))


@dataclass(frozen=True)
class Recipe:
    """How a page's agent is trained in the small worlds.

    Attributes:
        agent: its class.
        config: what differs from the defaults there; for hindsight's memory, in the agent that learns from it, DQN.
        discrete: environment steps for each rung with two actions; 0 if it cannot.
        continuous: the same for a continuous action.
        offline: updates, if it learns from what these steps hold of random actions and never acts itself; 0 if it acts.
        variants: settings that call functions which the defaults never do.
    """

    agent: str
    config: Mapping[str, Any] = field(default_factory=dict)
    discrete: int = 0
    continuous: int = 0
    offline: int = 0
    variants: tuple[Mapping[str, Any], ...] = ()


_OFF_POLICY: dict[str, Any] = {
    "gamma": GAMMA,
    "lr": 1e-2,
    "hidden": (32,),
    "batch_size": 32,
    "buffer_size": 2_000,
    "learning_starts": 200,
    "tau": 0.1,
}
_SAC: dict[str, Any] = _OFF_POLICY | {"temperature": 1e-3, "learn_temperature": False}
_LEARNED_TEMPERATURE: tuple[dict[str, Any], ...] = ({"learn_temperature": True},)
_ON_POLICY: dict[str, Any] = {"gamma": GAMMA, "lr": 1e-2, "hidden": (32,)}
_DQN: dict[str, Any] = {
    **_OFF_POLICY,
    "learning_starts": 32,
    "epsilon_end": 0.5,
    "epsilon_steps": 1,
    "n_step": 1,  # because what follows an exploring action is not worth what the greedy one is
}
RECIPES = {
    "q_iteration": Recipe("QLearning", {"gamma": GAMMA, "lr": 0.2, "epsilon": 0.5}, discrete=300),
    "dqn": Recipe("DQN", _DQN, discrete=600, variants=({"double": True},)),
    "rainbow": Recipe("Rainbow", _DQN | {"target_every": 1, "v_min": -2.0, "v_max": 2.0}, discrete=600),
    "reinforce": Recipe("REINFORCE", {"gamma": GAMMA, "lr": 3e-2}, discrete=1_000, variants=({"causality": False},)),
    "cloning": Recipe("Clone"),
    "imitation": Recipe("Imitation"),
    "actor_critic": Recipe(
        "ActorCritic",
        _ON_POLICY | {"rollout_steps": 8, "n_step": 2, "entropy_coefficient": 0.0},
        discrete=6_000,
        continuous=12_000,
    ),
    "ppo": Recipe(
        "PPO",
        _ON_POLICY | {"num_envs": 2, "rollout_steps": 32, "batch_size": 32, "epochs": 4},
        discrete=3_000,
        continuous=8_000,
    ),
    "ddpg": Recipe("DDPG", _OFF_POLICY, continuous=800),
    "double_ac": Recipe("DoubleAC", _OFF_POLICY | {"pairs": 2}, continuous=800),
    "td3": Recipe("TD3", _OFF_POLICY, continuous=800),
    "off_policy_ac": Recipe("OffPolicyAC", _OFF_POLICY | {"samples": 8, "baseline": True}, continuous=800),
    "sac": Recipe("SAC", _SAC, continuous=800, variants=_LEARNED_TEMPERATURE),
    "mixture_sac": Recipe("MixtureSAC", _SAC | {"components": 2}, continuous=800, variants=_LEARNED_TEMPERATURE),
    "soft_q_learning": Recipe("SoftQLearning", _OFF_POLICY | {"temperature": 1e-3}, continuous=800),
    "her": Recipe("HindsightReplay", _DQN, discrete=400),
    "td7": Recipe("TD7", _OFF_POLICY | {"embedding": 8, "target_every": 20, "checkpoints": False}, continuous=800),
    # Of uniform actions from −1 to 1 the expectile is 0.94, the best is 1; the weights e^{βa} have their mean at 0.97.
    "iql": Recipe("IQL", _OFF_POLICY | {"expectile": 0.999, "beta": 30.0}, continuous=500, offline=1_000),
    "cql": Recipe("CQL", _SAC | {"conservatism": 0.05}, 0, 500, 600, _LEARNED_TEMPERATURE),
    "edac": Recipe("EDAC", _SAC | {"critics": 3}, 0, 500, 600, _LEARNED_TEMPERATURE),
}


def make(kind: Any, env: gym.Env, config: Any, seed: int) -> Any:
    """An agent of the course for `env`."""
    action = env.action_space if "action_space" in signature(kind).parameters else flatdim(env.action_space)
    return kind(flatdim(env.observation_space), action, config, seed)


class Offline:
    """For the loops an agent that acts at random; after `steps` steps `agent` learns from them and nothing else."""

    def __init__(self, agent: Any, steps: int, updates: int) -> None:
        self.agent, self.config, self.steps, self.updates = agent, agent.config, steps, updates
        self.value, self._random = agent.value, np.random.default_rng(0)

    def act(self, obs: Any, explore: bool = True) -> Any:
        if explore:
            return self._random.uniform(-1, 1, self.agent.action_size).astype(np.float32)
        return self.agent.act(obs, explore=False)

    def observe(self, transition: Transition) -> None:
        self.agent.replay.add(transition)

    def learn(self) -> Iterator[dict[str, float]]:
        if len(self.agent.replay) == self.steps:
            yield from loop.train_offline(self.agent, self.updates, seed=0)


def make_offline(agent: Callable[[gym.Env], Any], steps: int, updates: int, env: gym.Env) -> Offline:
    """What `Offline` makes of the agent for `env`."""
    return Offline(agent(env), steps, updates)


def make_with_hindsight(kind: Any, env: gym.Env, learner: dqn.Config, config: Any) -> dqn.DQN:
    """DQN with a hindsight memory of class `kind`."""
    memory = kind(env, learner.buffer_size, config)
    return dqn.DQN(flatdim(env.observation_space), flatdim(env.action_space), learner, 0, memory)


def trial(module: Any) -> Iterator[dict[str, Any]]:
    """A few updates of a page's agent with very small networks: it is about what raises, not about what is learned."""
    name = module.__name__.split(".")[-1]
    recipe, config = RECIPES[name], module.Config
    kind = getattr(module, recipe.agent)
    if name in ("cloning", "imitation"):
        others: tuple[dict[str, int], ...] = ({"bins": 3}, {"noise_steps": 2, "stretch": 2, "members": 2})
        for policy in ({}, {"components": 2}, *(others if name == "imitation" else ())):
            settings: dict[str, Any] = {"hidden": (4,), "round_steps": 8, "updates": 2, "batch_size": 4, **policy}
            agent = kind(1, 1, lambda obs: -obs, config(**settings), 0)
            yield from loop.train(world_of(RUNGS[1], continuous=True), agent, 16, 0)
    elif name == "her":
        env = envs.make("rlcourse/BitFlip5-v0")
        learner = dqn.Config(hidden=(4,), batch_size=4, buffer_size=50, learning_starts=8, n_step=1)
        agent = make_with_hindsight(kind, env, learner, config())
        yield from loop.train(env, agent, 30, 0)
    else:
        small: dict[str, Any] = {
            "hidden": (4,),
            "learning_starts": 16,
            "batch_size": 8,
            "num_envs": 2,
            "rollout_steps": 8,
            "target_every": 2,
            "checkpoints": True,
        }
        known = {field.name for field in fields(config)}
        settings = {**recipe.config, **{key: value for key, value in small.items() if key in known}}
        continuous = not recipe.discrete
        tabular = recipe.agent == "QLearning"
        for change in ({}, *recipe.variants):
            agent = make(kind, world_of(RUNGS[4], continuous, tabular), config(**{**settings, **change}), 0)
            yield from training(lambda: world_of(RUNGS[4], continuous, tabular), agent, 40)


def training(world: Callable[[], gym.Env], agent: Any, steps: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """The loop that suits the agent: with environments side by side where its Config says how many."""
    if num_envs := getattr(getattr(agent, "config", None), "num_envs", 0):
        mode = gym.vector.AutoresetMode.SAME_STEP
        return loop.train_vector(gym.vector.SyncVectorEnv([world] * num_envs, autoreset_mode=mode), agent, steps, seed)
    return loop.train(world(), agent, steps, seed)


def world_of(rung: Rung, continuous: bool = False, tabular: bool = False) -> gym.Env:
    """The rung's world as the agent sees it; `tabular` numbers the observations −1, 0, 1 as states 0, 1, 2."""
    if issubclass(rung.world, probes.GoalProbe):
        return gym.wrappers.FlattenObservation(gym.wrappers.TimeLimit(rung.world(), rung.world.steps))
    env: gym.Env = rung.world(continuous)
    if tabular:
        env = gym.wrappers.TransformObservation(env, lambda obs: int(obs[0]) + 1, Discrete(3))
    return env


def of_page(module: Any, continuous: bool = False, stop: bool = False, **changes: Any) -> "Ladder":
    """The ladder of a page's agent, the course's own or a student's copy; `changes` to its settings.

    Args:
        stop: at the first rung that fails.

    Raises:
        ValueError: the page has no agent that could be trained there.
    """
    name = module.__name__.split(".")[-1]
    recipe = RECIPES.get(name, Recipe(""))
    steps = recipe.continuous if continuous else recipe.discrete
    cut_short = lessons.only_tested() and steps > SHORT
    if cut_short:
        steps = SHORT
    if not steps:
        actions = "a continuous action" if continuous else "two actions"
        raise ValueError(f"{name} has no agent for {actions}: there is nothing to train in these worlds")
    kind, tabular = getattr(module, recipe.agent), recipe.agent == "QLearning"
    rungs: tuple[Rung, ...] = GOAL_RUNGS if name == "her" else RUNGS
    agent: Callable[[gym.Env], Any]
    if name == "her":
        config = dqn.Config(**recipe.config)
        agent = partial(make_with_hindsight, kind, learner=config, config=module.Config(**changes))
    else:
        config = module.Config(**{**recipe.config, **changes})
        agent = partial(make, kind, config=config, seed=0)
    if recipe.offline:
        agent = partial(make_offline, agent, steps, SHORT if cut_short else recipe.offline)
    found = climb(agent, steps, config.gamma, continuous, tabular, stop=stop, rungs=rungs)
    return replace(found, cut_short=cut_short)


@dataclass(frozen=True)
class Finding:
    """What one rung showed.

    Attributes:
        rows: for each value that was looked at: what it is, what the agent says, what is right, whether they agree.
        error: instead, the exception that training ended with.
    """

    rung: Rung
    rows: tuple[tuple[str, float, float, bool], ...] = ()
    error: str = ""

    @property
    def ok(self) -> bool:
        return not self.error and all(agrees for *_, agrees in self.rows)

    @property
    def mark(self) -> str:
        return "✘" if not self.ok else "✔" if self.rows else "–"

    @property
    def found(self) -> str:
        """In words."""
        values = "; ".join(
            f"{what} = {believed if abs(believed) > 0.005 else 0:.3g}" + ("" if agrees else f", right is {truth:.3g}")
            for what, believed, truth, agrees in self.rows
        )
        return self.error or values or "nothing to look at: no value(), and every action is as good as another"

    def __repr__(self) -> str:
        return f"{self.mark} {self.rung.world.__name__:{WIDTH}}  {self.found}"


@dataclass(frozen=True)
class Ladder:
    """What every rung showed; `first` is the lowest that failed, None if none did.

    Attributes:
        cut_short: whether the agents were trained for a moment only, see `lessons.only_tested`.
    """

    findings: tuple[Finding, ...]
    cut_short: bool = False

    @property
    def first(self) -> Finding | None:
        return next((finding for finding in self.findings if not finding.ok), None)

    @property
    def verdict(self) -> str:
        """In words."""
        if self.cut_short and not (self.first and self.first.error):
            return f"○ RLCOURSE_BUDGET=test: it trained for {SHORT} steps only, so that a ✘ says nothing."
        if self.first is None:
            return "✔ every rung holds."
        name, cause = self.first.rung.world.__name__, self.first.error or f"Usually: {self.first.rung.cause}."
        return f"✘ {name} is the first rung that fails; mend it before you look at the later ones. {cause}"

    def __repr__(self) -> str:
        return "\n".join([*map(repr, self.findings), self.verdict])

    def _repr_markdown_(self) -> str:
        rows = [f"| {each.mark} | {each.rung.world.__name__} | {each.found} |" for each in self.findings]
        return "\n".join(["| | rung | what it says |", "|---|---|---|", *rows, "", self.verdict])


def climb(
    agent: Callable[[gym.Env], Any],
    steps: int,
    gamma: float,
    continuous: bool = False,
    tabular: bool = False,
    words: Callable[[BaseException], str] = repr,
    stop: bool = False,
    rungs: tuple[Rung, ...] = RUNGS,
    seen: Callable[[Finding], None] = lambda finding: None,
) -> Ladder:
    """Train a fresh agent in each rung's world and look at what it believes and does.

    Args:
        agent: makes one for a world.
        stop: at the first rung that fails.
        words: says what an exception means to whoever wrote the agent.
        rungs: those of the agent's kind, `GOAL_RUNGS` for hindsight.
        seen: is told what each rung showed, as soon as it is known.
    """
    findings = []
    for rung in rungs:
        try:
            learner = agent(world_of(rung, continuous, tabular))
            for _ in training(partial(world_of, rung, continuous, tabular), learner, steps):
                pass
            rows = tuple(_rows(rung, learner, gamma, continuous, tabular))
        except Exception as error:  # a student's agent can raise anything
            findings.append(Finding(rung, error=words(error)))
        else:
            findings.append(Finding(rung, rows))
        seen(findings[-1])
        if stop and not findings[-1].ok:
            break
    return Ladder(tuple(findings))


def _rows(
    rung: Rung, agent: Any, gamma: float, continuous: bool, tabular: bool
) -> Iterator[tuple[str, float, float, bool]]:
    def seen(obs: Place) -> Any:
        if isinstance(obs, tuple):
            bits, goal = obs
            return np.array([*bits, *goal, *bits], np.float32)
        return int(obs) + 1 if tabular else np.array([obs], np.float32)

    truth = rung.truth(gamma)

    def entry(state: Any, action: int) -> float:
        return float(agent.q[state, action])

    value: Any = entry if tabular else getattr(agent, "value", None)
    if value is not None and takes_action(value):
        signs = len({action for _, action in truth}) > 1
        for (obs, action), right in truth.items():
            coded = np.array([action], np.float32) if continuous else (action + 1) // 2
            what = f"Q({_name(obs)}, {'−' if action < 0 else '+'}1)" if signs else f"Q({_name(obs)})"
            yield what, *_agreement(float(value(seen(obs), coded)), right, gamma)
    elif value is not None:  # V of its own policy, which has found the best action: all that these worlds can teach
        for place in {obs: None for obs, _ in truth}:
            right = max(q for (obs, _), q in truth.items() if obs == place)
            yield f"V({_name(place)})", *_agreement(float(np.squeeze(value(seen(place)))), right, gamma)
    for place, best in rung.best.items():
        action = agent.act(seen(place), explore=False)
        choice = float(np.squeeze(action)) if continuous else 2 * float(action) - 1
        yield f"action at {_name(place)}", choice, float(best), bool(abs(np.clip(choice, -1, 1) - best) < TOLERANCE)


def _name(place: Place) -> str:
    return f"{place[0]} to {place[1]}" if isinstance(place, tuple) else f"{place:g}"


def _agreement(believed: float, truth: float, gamma: float) -> tuple[float, float, bool]:
    if truth > 1 and gamma > SLOW_GAMMA:  # the way to 1 / (1 − γ) is long; who takes the limit for an end stays at 1
        return believed, truth, 1.5 < believed < truth + TOLERANCE
    return believed, truth, abs(believed - truth) < TOLERANCE


def takes_action(value: Callable[..., Any]) -> bool:
    """Whether it is a Q(s, a), not a V(s)."""
    return len(signature(value).parameters) > 1
