r"""What a slow target network and a delayed actor do, in the smallest actor-critic: one state, one number to choose.

Every step pays r(a) = 1 − (a − ½)² and noise, and the state stays the same, so the value of acting with a for ever is
r(a)/(1 − γ). The critic is a polynomial of degree `DEGREE` in the action. Each update fits it a little better to
y = r + γ Q'(a'), for `BATCH` random actions from the whole range, with a' the target actor's action; the actor climbs
the critic. After every d updates the actor takes its step, and both targets go a share τ towards the online ones.

**With a fixed policy** nothing is chosen: the errors of the critic average out, and for every τ the value is right in
the end, for a small τ later. **With a learning policy** the actor goes where the critic happens to be too high, the
target believes it, and a fast target passes it on at once: the value is too high, and it wanders. A slow target
averages over many updates, a delayed actor climbs a critic that has settled.

How restless a value is: the standard deviation of its last `LAST` updates around a straight line, which takes out what
still rises; mean over the runs.
"""

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.polynomial import legendre

from rlcourse.widgets import presets
from rlcourse.widgets.panel import Panel, choice, selection, slider
from rlcourse.widgets.scene import Axis, Scene, View, around, dots, handle, line, up_to

LECTURE = "6 DDPG and TD3"
QUESTION = "What do a slow target and a delayed actor calm down?"

TAUS = (1.0, 0.3, 0.1, 0.03, 0.01)
POLICIES = ("learning", "fixed")
UPDATES, LAST, RUNS, BATCH, DEGREE, SEED = 500, 200, 8, 4, 5, 0
BEST, START = 0.5, -0.5  # the best action; the first one, and the one that a fixed policy keeps
CRITIC_LR, ACTOR_LR = 0.25, 0.06
GRID = np.linspace(-1, 1, 2001)
# Legendre polynomials scaled to mean square 1 over the range: then every coefficient learns equally fast.
FEATURES = legendre.legvander(GRID, DEGREE) * np.sqrt(2 * np.arange(DEGREE + 1) + 1)
SLOPES = np.gradient(FEATURES, GRID, axis=0)

_FAST = {"policy": "learning", "tau": 1.0, "delay": 1, "gamma": 0.9, "noise": 1.0, "update": UPDATES}
PRESETS: dict[str, dict[str, Any]] = {
    "τ = 1: too high, and restless": _FAST,
    "the same with a fixed policy: nearly right": _FAST | {"policy": "fixed"},
    "τ = 0.1: calmer and nearer": _FAST | {"tau": 0.1},
    "τ = 0.01: far too slow": _FAST | {"tau": 0.01},
    "only a delay, d = 4": _FAST | {"delay": 4},
    "no noise: nothing to cure": _FAST | {"noise": 0.0},
}


@dataclass(frozen=True)
class Study:
    """`RUNS` runs for the chosen τ and policy, and how restless every τ is.

    Attributes:
        update: the one that is looked at, counted from 1.
        believed: the critic's value of the actor's action after each update.
        action: the actor's.
        true: what that action is worth.
        restless: of both `POLICIES` for each of `TAUS`.
    """

    policy: str
    tau: float
    delay: int
    gamma: float
    noise: float
    update: int
    believed: Float[np.ndarray, "updates runs"]
    action: Float[np.ndarray, "updates runs"]
    true: Float[np.ndarray, "updates runs"]
    restless: Float[np.ndarray, "2 taus"]

    @property
    def ends(self) -> tuple[float, float]:
        """Believed and true, mean over the last updates."""
        return float(self.believed[-LAST:].mean()), float(self.true[-LAST:].mean())

    @property
    def now(self) -> tuple[float, float]:
        """Believed and true after the chosen update, mean over the runs."""
        return float(self.believed[self.update - 1].mean()), float(self.true[self.update - 1].mean())

    @property
    def here(self) -> float:
        """How restless the chosen one is."""
        return float(self.restless[POLICIES.index(self.policy), TAUS.index(self.tau)])


@cache
def batches() -> tuple[Int[np.ndarray, "updates runs batch"], Float[np.ndarray, "updates runs batch"]]:
    """Places on `GRID` of the actions of each batch, and normal noise for their rewards."""
    rng = np.random.default_rng(SEED)
    shape = UPDATES, RUNS, BATCH
    return rng.integers(0, GRID.size, shape), rng.standard_normal(shape)


def place(action: Float[np.ndarray, "*n"]) -> Int[np.ndarray, "*n"]:
    """The nearest point of `GRID`."""
    return np.asarray((action + 1) / 2 * (GRID.size - 1) + 0.5).astype(int)


def learn(
    taus: Float[np.ndarray, " n"], moving: Float[np.ndarray, " n"], delay: int, gamma: float, noise: float
) -> tuple[Float[np.ndarray, "updates n runs"], Float[np.ndarray, "updates n runs"]]:
    """Believed values and actions of n settings side by side, on the same batches; `moving` is 1 where actors learn."""
    places, normal = batches()
    features, reward = FEATURES[places], 1 - (GRID[places] - BEST) ** 2 + noise * normal
    shape = len(taus), RUNS
    critic, target = np.zeros((2, *shape, DEGREE + 1))
    actor, target_actor = np.full((2, *shape), START)
    next_value, here = np.zeros(shape), place(actor)
    believed, action = np.empty((2, UPDATES, *shape))
    for update in range(UPDATES):
        q = (features[update] @ critic[..., None])[..., 0]
        error = reward[update] + gamma * next_value[..., None] - q
        critic += CRITIC_LR / BATCH * (error[..., None, :] @ features[update])[..., 0, :]
        if (update + 1) % delay == 0:
            slope = np.einsum("nrf,nrf->nr", SLOPES[here], critic)
            actor = np.clip(actor + ACTOR_LR * moving[:, None] * slope, -1, 1)
            here = place(actor)
            target += taus[:, None, None] * (critic - target)
            target_actor += taus[:, None] * (actor - target_actor)
            next_value = np.einsum("nrf,nrf->nr", FEATURES[place(target_actor)], target)
        believed[update], action[update] = np.einsum("nrf,nrf->nr", FEATURES[here], critic), actor
    return believed, action


@lru_cache(16)  # while a hand or Play moves through the updates, all else stays
def learned(
    delay: int, gamma: float, noise: float
) -> tuple[Float[np.ndarray, "updates n runs"], Float[np.ndarray, "updates n runs"]]:
    """The same for both `POLICIES` with all `TAUS`."""
    return learn(np.tile(TAUS, 2), np.repeat([1.0, 0.0], len(TAUS)), delay, gamma, noise)


def restlessness(values: Float[np.ndarray, "last ..."]) -> Float[np.ndarray, "..."]:
    """The standard deviation over time around the straight line that fits best."""
    time = np.linspace(-1, 1, len(values)).reshape(-1, *[1] * (values.ndim - 1))
    slope = (time * values).sum(0) / (time**2).sum()
    return np.asarray((values - slope * time).std(0))


def compute(policy: str, tau: float, delay: int, gamma: float, noise: float, update: int = UPDATES) -> Study:
    believed, action = learned(delay, gamma, noise)
    chosen = POLICIES.index(policy) * len(TAUS) + TAUS.index(tau)
    own = action[:, chosen]
    return Study(
        policy,
        tau,
        delay,
        gamma,
        noise,
        update,
        believed[:, chosen],
        own,
        (1 - (own - BEST) ** 2) / (1 - gamma),
        restlessness(believed[-LAST:]).mean(-1).reshape(2, -1),
    )


def scene(data: Study) -> Scene:
    whole = data.update == UPDATES
    believed, true = data.ends if whole else data.now
    gap = believed - true
    verdict = "right" if abs(gap) < 0.05 else f"{abs(gap):.2f} too {'high' if gap > 0 else 'low'}"
    headline = (
        f"{'At the end' if whole else f'After {data.update} updates'} the critic believes {believed:.2f}, the truth is "
        f"{true:.2f}: {verdict}{f'; it wobbles by {data.here:.2f}' if whole else ''}."
    )
    return Scene(headline, (chase(data),), (actor(data), calm(data)))


def chase(data: Study) -> View:
    """The critic's value as a dot that chases the true value, both with their trails."""
    some = moments(data.update)
    believed, true = data.now
    now = float(data.update)
    marks = [line(some + 1, run[some], "sky", width=0.8) for run in data.believed.T]
    marks += [
        line([now, now], [believed, true], "grey", width=1, dash=True),
        line(some + 1, data.true.mean(1)[some], "purple", width=3, dash=True),
        line(some + 1, data.believed.mean(1)[some], "blue", width=3),
        dots([now], [true], "purple", size=0.7, label=f"true {true:z.1f}"),
        dots([now], [believed], "blue", size=0.7, label=f"believed {believed:z.1f}"),
    ]
    # Of the whole run, so that it stands still while it is played; there the dots chase each other.
    up = around(data.believed, data.true.mean(1), label="value of the one state", room=0.05)
    marks.append(handle(now, up.low, "updates", along_x="update", size=0.55))
    title = f"the critic chases the value of a {data.policy} policy; thin: {RUNS} runs"
    return View(Axis(0, 1.02 * UPDATES, "update"), up, marks, title)


def moments(update: int) -> Int[np.ndarray, " some"]:
    """Which updates to draw, up to this one."""
    return np.unique(np.append(np.arange(0, update, 8), update - 1))


def actor(data: Study) -> View:
    """Where the actor of each run goes."""
    some = moments(data.update)
    marks = [line(some + 1, run[some], "sky", width=0.8) for run in data.action.T]
    marks.append(line([0, UPDATES], [BEST, BEST], "purple", label="best", dash=True))
    marks.append(line(some + 1, data.action.mean(1)[some], "blue", label="mean", width=3))
    return View(Axis(0, UPDATES, "update"), Axis(-1.05, 1.05, "action"), marks, "the actor")


def calm(data: Study) -> View:
    """How restless the value is for every target rate, with the chosen one to take hold of."""
    curves = [
        line(np.array(TAUS), each, ink, label=name, dash=name == "fixed")
        for each, ink, name in zip(data.restless, ("blue", "red"), POLICIES, strict=True)
    ]
    curves.append(handle(data.tau, data.here, "τ", along_x="tau"))
    across = Axis(1.3, 0.008, "target rate τ", log=True, ticks={tau: f"{tau:g}" for tau in TAUS})
    return View(across, up_to(data.restless, label="wobble"), curves, f"how restless the value is, delay {data.delay}")


def describe(data: Study) -> str:
    believed, true = data.ends
    return (
        f"One state, {data.policy} policy, τ = {data.tau:g}, delay {data.delay}, γ = {data.gamma:g}, "
        f"noise {data.noise:g}. At the end believed {believed:z.2f}, true {true:z.2f}; "
        f"restless {data.here:.2f}. By τ from 1 to 0.01, learning: {listed(data.restless[0])}; "
        f"fixed: {listed(data.restless[1])}."
    )


def listed(values: Float[np.ndarray, " n"]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


@presets.offered(PRESETS)
def widget(values: presets.Values) -> Panel:
    """Choose τ, the delay and whether the policy learns, and see whether the value is right and how restless it is."""
    controls = {
        "tau": selection(values["tau"], TAUS, "τ"),
        "delay": slider(values["delay"], 1, 8, 1, "delay d"),
        "update": slider(values["update"], 10, UPDATES, 10, "updates"),
        "policy": choice(values["policy"], POLICIES, "policy"),
        "gamma": slider(values["gamma"], 0.0, 0.95, 0.05, "γ"),
        "noise": slider(values["noise"], 0.0, 2.0, 0.1, "noise"),
    }
    return Panel(compute, scene, describe, controls, more=("policy", "gamma", "noise"), play="update")
