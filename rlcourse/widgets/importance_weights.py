r"""What data from one policy say about another: importance weights, per episode and per step.

Episodes of `envs.two_floors` are collected by an old policy that takes both actions equally often. A new policy has
drifted away from it: on both floors its logit of going up is larger by `drift`. Two ways to estimate the new policy's
return J from the old one's episodes:

- *per episode*: $\frac{1}{N} \sum_i w_i \sum_t r_{i,t}$ with $w_i = \prod_t \rho_{i,t}$,
  $\rho_{i,t} = \pi_{new}(a_{i,t} \mid s_{i,t}) / \pi_{old}(a_{i,t} \mid s_{i,t})$. Unbiased, but the product explodes
  or vanishes with T.
- *per step*: $\frac{1}{N} \sum_i \sum_t \rho_{i,t}\, r_{i,t}$. It takes each action's probability from the new policy,
  but the states from the old one: not unbiased, for any number of episodes.

The **effective sample size** $(\sum_i w_i)^2 / \sum_i w_i^2$ says how many equally weighted episodes are worth as much
as these N. As E[w] = 1, with many episodes it is N / E[w²], and E[w²] is exact here: a sum over actions and states,
step by step.

Papers: Precup, Sutton and Singh (2000), *Eligibility traces for off-policy policy evaluation*; Kong (1992) for the
effective sample size.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from rlcourse.algorithms.q_iteration import Table, boltzmann
from rlcourse.envs import TabularMDP, two_floors
from rlcourse.widgets import presets
from rlcourse.widgets.gradient_variance import SEED, THETA, Episodes, expected_return, happened, two_digits
from rlcourse.widgets.panel import Panel, selection, slider
from rlcourse.widgets.scene import Axis, Scene, View, around, counted, dots, handle, line, percent

LECTURE = "3 Policy gradients"
QUESTION = "How long can old data speak for a new policy?"

EPISODES = (16, 32, 64, 128, 256)
LONGEST = 30
DRAWN, SHOWN = 40, 24  # episodes whose weights are kept; and drawn
WAYS = ("per episode", "per step")

_NEAR = {"drift": 0.5, "horizon": 10, "episodes": 64}
PRESETS: dict[str, dict[str, Any]] = {
    "a small drift, short episodes: both will do": _NEAR | {"drift": 0.2},
    "the same drift, long episodes": _NEAR | {"drift": 0.2, "horizon": LONGEST},
    "a large drift: a few episodes have all the weight": _NEAR | {"drift": 2.0, "horizon": 20},
    "per step: precise, and wrong": _NEAR | {"drift": 1.0, "horizon": 20, "episodes": 256},
    "one step: the two are one": _NEAR | {"drift": 2.0, "horizon": 1},
}


@dataclass(frozen=True)
class Weights:
    """N of the episodes, and what all of them say.

    Attributes:
        kl: KL(old ‖ new) of the actions in one state, in nats; the same on both floors.
        running: the product of the first t ratios, t = 1 … T, of `DRAWN` episodes.
        shares: what part of all weight each of the first N episodes has, largest first, for both ways (per step: of the
            last step's).
        effective: effective sample size by t as a share of N, mean over batches, for both ways.
        limit: what it tends to for many episodes, 1 / E[w²].
        estimates: of J / T, one per batch of N episodes, for both ways.
        new, old: the two policies' true J / T.
        per_step: what the estimate per step tends to for many episodes, over T.
    """

    drift: float
    horizon: int
    episodes: int
    kl: float
    running: Float[np.ndarray, "T 40"]
    shares: Float[np.ndarray, "2 N"]
    effective: Float[np.ndarray, "2 T"]
    limit: Float[np.ndarray, "2 T"]
    estimates: Float[np.ndarray, "2 B"]
    new: float
    old: float
    per_step: float

    @property
    def rmse(self) -> Float[np.ndarray, "2"]:
        """Root mean square error of the estimates."""
        return np.sqrt(((self.estimates - self.new) ** 2).mean(1))


def ratios(episodes: Episodes, old: Table, new: Table) -> Float[np.ndarray, "T E"]:
    r"""$\rho_t = \pi_{new}(a_t \mid s_t) / \pi_{old}(a_t \mid s_t)$ of every step."""
    return (new / old)[episodes.state, episodes.action]


def effective_sample_size(weight: Float[np.ndarray, "*B N"]) -> Float[np.ndarray, "*B"]:
    r"""$(\sum_i w_i)^2 / \sum_i w_i^2$: N for equal weights, 1 if one episode has all of it."""
    return weight.sum(-1) ** 2 / (weight**2).sum(-1)


def mean_square(mdp: TabularMDP, old: Table, new: Table, horizon: int) -> Float[np.ndarray, " T"]:
    r"""$E[w_t^2]$ of the product of the first t ratios, t = 1 … T: from step to step $\sum_a \pi_{old} \rho^2 P$."""
    carried, squares = mdp.start, []
    for _ in range(horizon):
        weighted = carried[:, None] * new**2 / old
        squares.append(weighted.sum())
        carried = weighted.T.ravel() @ mdp.transition
    return np.array(squares)


def per_step_limit(mdp: TabularMDP, old: Table, new: Table, horizon: int) -> float:
    r"""$\sum_t \sum_s d_t^{old}(s) \sum_a \pi_{new}(a \mid s)\, r(s, a)$: new actions in the old policy's states."""
    states, total = mdp.start, 0.0
    for _ in range(horizon):
        total += float(states @ (new * mdp.expected_reward).sum(-1))
        states = (states[:, None] * old).T.ravel() @ mdp.transition
    return total


def compute(drift: float, horizon: int, episodes: int) -> Weights:
    """Weigh the old policy's episodes for the new one, in batches of `episodes`."""
    mdp, drifted = two_floors(), THETA + drift * np.array([0.0, 1.0])
    old, new = boltzmann(THETA, 1.0), boltzmann(drifted, 1.0)
    walked = happened(horizon)
    ratio = ratios(walked, old, new)
    product = ratio.cumprod(0)

    weight = np.stack([product, ratio]).reshape(2, horizon, -1, episodes)
    effective = effective_sample_size(weight).mean(-1) / episodes
    last = weight[:, -1, 0]
    shares = -np.sort(-last / last.sum(1, keepdims=True), axis=1)
    squares = mean_square(mdp, old, new, horizon)
    one_step = (new**2 / old).sum(-1)[0]
    limit = 1 / np.stack([squares, np.full(horizon, one_step)])

    whole = product[-1] * walked.reward.sum(0)
    single = (ratio * walked.reward).sum(0)
    estimates = np.stack([whole, single]).reshape(2, -1, episodes).mean(2) / horizon
    kl = float((old * np.log(old / new)).sum(-1)[0])
    true = [expected_return(mdp, theta, horizon) / horizon for theta in (drifted, THETA)]
    tends = per_step_limit(mdp, old, new, horizon) / horizon
    return Weights(
        drift, horizon, episodes, kl, product[:, :DRAWN], shares, effective, limit, estimates, true[0], true[1], tends
    )


def scene(data: Weights) -> Scene:
    headline = (
        f"At step {data.horizon} the {data.episodes} episodes, weighted per episode, are worth "
        f"{percent(data.effective[0, -1])} of their number; one of them has {percent(data.shares[0, 0])} of the weight."
    )
    return Scene(headline, (products(data),), (sizes(data), guesses(data)))


def products(data: Weights) -> View:
    """How each episode's weight wanders off from 1."""
    t = np.arange(data.horizon + 1.0)
    running = np.insert(data.running, 0, 1.0, 0)
    low, high = min(0.04, float(running.min()) / 2), max(25.0, 2 * float(running.max()))
    marks = [line(t, episode, "blue", width=0.9) for episode in running.T[:SHOWN]]
    marks.append(line([0, LONGEST], [1, 1], "ink", label="expected: 1", width=3, dash=True))
    marks.append(handle(float(data.horizon), 1.0, "horizon", along_x="horizon"))
    up = Axis(low, high, "product of the ratios so far", log=True)
    return View(
        Axis(0, LONGEST + 0.5, "step t"), up, marks, f"weights of {SHOWN} episodes; KL {data.kl:.3f} nats a step"
    )


def sizes(data: Weights) -> View:
    """What the weighted episodes are worth, as a share of their number."""
    t = np.arange(data.horizon + 1.0)
    effective, limit = (100 * np.insert(each, 0, 1.0, 1) for each in (data.effective, data.limit))
    marks = []
    for i, color in enumerate(("blue", "red")):
        marks.append(line(t, limit[i], "ink", width=1, dash=True, label="" if i else "very many"))
        marks.append(line(t, effective[i], color, label=WAYS[i], width=3))
    title = f"effective sample size of {data.episodes} episodes"
    return View(Axis(0, data.horizon, "step t"), Axis(0, 105, "per cent"), marks, title)


def guesses(data: Weights) -> View:
    """Estimates of the new policy's return, both ways, beside the truth."""
    some = data.estimates[:, :100]
    across = np.asarray(np.random.default_rng(SEED).uniform(-0.25, 0.25, some.shape[1]))
    marks = [
        line([-0.5, 1.5], [data.old] * 2, "purple", label=f"old {data.old:.2f}", dash=True),
        line([-0.5, 1.5], [data.new] * 2, "green", label=f"new {data.new:.2f}", width=3),
    ]
    for i, color in enumerate(("blue", "red")):
        marks.append(dots(i + across, some[i], color, size=0.16, alpha=0.6))
        marks.append(dots([float(i)], [float(data.estimates[i].mean())], "ink", size=0.4, names=[f"mean {WAYS[i]}"]))
    up = around(np.percentile(data.estimates, (0, 99)), data.new, label="reward per step")
    return View(
        Axis(-0.5, 1.5, ticks=dict(zip((0.0, 1.0), WAYS, strict=True))),
        up,
        marks,
        "estimates of the new policy's J / T",
    )


def describe(data: Weights) -> str:
    parts = "; ".join(
        f"{name}: effective sample size {100 * data.effective[i, -1]:.1f} % "
        f"({two_digits(100 * data.limit[i, -1])} % for many episodes), "
        f"largest weight {100 * data.shares[i, 0]:.0f} % of all, estimates {data.estimates[i].mean():.3f} on average, "
        f"root mean square error {data.rmse[i]:.3f}"
        for i, name in enumerate(WAYS)
    )
    return (
        f"Batches of {data.episodes} episodes of {counted(data.horizon, 'step')}, logits drifted by {data.drift:g}, "
        f"KL divergence {data.kl:.3f} nats per step. {parts}. True reward per step: new policy {data.new:.3f}, "
        f"old {data.old:.3f}; per step tends to {data.per_step:.3f}."
    )


@presets.offered(PRESETS)
def widget(values: presets.Values) -> Panel:
    """Let two policies drift apart and episodes grow, and see what the old one's data are still good for."""
    controls = {
        "drift": slider(values["drift"], 0.0, 2.0, 0.1, "drift"),
        "horizon": slider(values["horizon"], 1, LONGEST, 1, "horizon T"),
        "episodes": selection(values["episodes"], EPISODES, "episodes N"),
    }
    return Panel(compute, scene, describe, controls, play="horizon")
