"""When does a challenger replace the checkpoint? By the mean or by the minimum of n episodes, and at what cost.

Two policies whose returns are known in distribution. The steady one, in the checkpoint: normal, mean `STEADY`. The
challenger: as steady, but `gain` better, except that with probability `fall` it falls, and then returns about `FALLEN`.
Both are assessed with n episodes; the challenger replaces the other if its mean, or its minimum, is at least as large
(`td7.TD7`: minimum). With the minimum, an assessment may end at the first episode below the bar, since nothing can
raise a minimum again. Chances are shares of `TRIALS` simulated assessments: read them to about one hundredth.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from rlcourse.widgets import presets
from rlcourse.widgets.panel import Panel, choice, selection, slider
from rlcourse.widgets.scene import Axis, Mark, Scene, View, area, counted, dots, handle, line, text

LECTURE = "9 TD7"
QUESTION = "Which policy is the best so far?"

CRITERIA = ("minimum", "mean")
EPISODES = (1, 2, 3, 5, 10, 20, 50)
STEADY, FALLEN, FALLEN_SPREAD, TRIALS, SEED = 3000.0, 1000.0, 300.0, 4000, 0
SHOWN = 40  # assessments that can be watched

_UNSTABLE = {"criterion": "minimum", "episodes": 20, "gain": 1500, "fall": 0.3, "spread": 200, "assessment": 1}
PRESETS: dict[str, dict[str, Any]] = {
    "better on average, but it falls: the minimum refuses": _UNSTABLE,
    "the same by its mean: taken": _UNSTABLE | {"criterion": "mean"},
    "one episode: luck decides": _UNSTABLE | {"episodes": 1},
    "a little better, by the mean: taken": _UNSTABLE | {"criterion": "mean", "gain": 100, "fall": 0.0},
    "a little better, by the minimum: not so sure": _UNSTABLE | {"gain": 100, "fall": 0.0},
    "worse: soon over": _UNSTABLE | {"gain": -500, "fall": 0.0},
}


@dataclass(frozen=True)
class Assessment:
    """Both policies, assessed with each of `EPISODES`.

    Attributes:
        gain, fall, spread: of the challenger's returns, as `compute` takes them.
        assessment: which one is watched, counted from 1.
        returns: its episodes, of the steady policy and of the challenger.
        means: what the two return on average.
        replaced: chance that the challenger replaces the other, for each of `CRITERIA`.
        spent: episodes that the challenger's assessment takes on average, if it ends early.
    """

    criterion: str
    episodes: int
    gain: float
    fall: float
    spread: float
    assessment: int
    returns: Float[np.ndarray, "2 n"]
    means: tuple[float, float]
    replaced: Float[np.ndarray, "2 counts"]
    spent: Float[np.ndarray, " counts"]

    @property
    def chosen(self) -> tuple[float, float]:
        """Chance and cost with the chosen criterion and number of episodes; a mean ends no assessment early."""
        column = EPISODES.index(self.episodes)
        spent = float(self.spent[column]) if self.criterion == "minimum" else float(self.episodes)
        return float(self.replaced[CRITERIA.index(self.criterion), column]), spent

    @property
    def scores(self) -> tuple[float, float]:
        """Of both policies in the watched assessment: the minimum, or the mean."""
        steady, challenger = self.returns.min(1) if self.criterion == "minimum" else self.returns.mean(1)
        return float(steady), float(challenger)

    @property
    def watched(self) -> int:
        """Episodes that the watched assessment of the challenger takes."""
        below = np.flatnonzero(self.returns[1] < self.scores[0])
        return int(below[0]) + 1 if self.criterion == "minimum" and below.size else self.episodes


def compute(criterion: str, episodes: int, gain: float, fall: float, spread: float, assessment: int) -> Assessment:
    """`spread` is the standard deviation of an episode's return, of both policies, where nobody falls."""
    rng, most = np.random.default_rng(SEED), EPISODES[-1]
    steady, challenger = STEADY + spread * rng.standard_normal((2, TRIALS, most))
    fallen = FALLEN + FALLEN_SPREAD * rng.standard_normal((TRIALS, most))
    challenger = np.where(rng.random((TRIALS, most)) < fall, fallen, challenger + gain)
    both = np.stack([steady, challenger])
    last = np.array(EPISODES) - 1
    lowest = np.minimum.accumulate(both, -1)
    bar = lowest[0][:, last]
    averages = (both.cumsum(-1) / np.arange(1, most + 1))[..., last]
    replaced = np.stack([lowest[1][:, last] >= bar, averages[1] >= averages[0]]).mean(1)
    # the first episode, and one more after each that left the minimum at or above the bar
    spent = [1 + (lowest[1, :, :end] >= bar[:, [i]]).sum(-1).mean() for i, end in enumerate(last)]
    means = STEADY, (1 - fall) * (STEADY + gain) + fall * FALLEN
    shown = both[:, assessment - 1, :episodes]
    setting = criterion, episodes, gain, fall, spread, assessment
    return Assessment(*setting, shown, means, replaced, np.array(spent))


def scene(data: Assessment) -> Scene:
    chance, cost = data.chosen
    better = data.means[1] - data.means[0]
    merit = f"returns {abs(better):.0f} {'more' if better > 0 else 'less'}" if round(better) else "returns the same"
    spent = f"{round(cost, 1):g} episodes" if round(cost, 1) > 1 else "one episode"
    headline = (
        f"The challenger {merit} on average; by the {data.criterion} of {data.episodes} it is taken in "
        f"{100 * chance:.0f} % of {TRIALS} assessments, which cost {spent} on average."
    )
    places, at = np.arange(len(EPISODES)), EPISODES.index(data.episodes)
    chances = [
        line(places, 100 * replaced, color, label=f"by the {name}", width=3.5 if name == data.criterion else 1.5)
        for name, replaced, color in zip(CRITERIA, data.replaced, ("blue", "purple"), strict=True)
    ]
    costs = [
        line(places, data.spent, "blue", label="by the minimum", width=3.5 if data.criterion == "minimum" else 1.5),
        line(places, EPISODES, "purple", label="by the mean", width=3.5 if data.criterion == "mean" else 1.5),
    ]
    stops = {float(i): float(n) for i, n in enumerate(EPISODES)}
    chances.append(handle(at, 100 * chance, "episodes n", along_x="episodes", stops=stops))
    costs.append(handle(at, cost, "number of episodes", along_x="episodes", stops=stops))
    counts = Axis(0, len(EPISODES) - 1, "episodes of an assessment", ticks={i: f"{n:g}" for i, n in stops.items()})
    others = (
        View(counts, Axis(-3, 103, "%"), chances, "how often the challenger is taken"),
        View(counts, Axis(0, 52, "episodes"), costs, "what its assessment costs"),
    )
    return Scene(headline, (duel(data),), others)


LOWER, UPPER = 0.0, 1.95  # where the hills of the challenger and of the checkpoint stand


def duel(data: Assessment) -> View:
    """Both distributions as hills, and under each the episodes of one assessment, the first on top."""
    best = STEADY + data.gain
    marks: list[Mark] = [
        *hill(STEADY, data.spread, UPPER, 1.0, "sky"),
        *hill(best, data.spread, LOWER, 1 - data.fall, "red"),
        *hill(FALLEN, FALLEN_SPREAD, LOWER, data.fall, "red"),
    ]
    bar, score = data.scores
    taken = score >= bar
    depth = 0.1 + 0.5 * (np.arange(data.episodes) + 0.5) / max(data.episodes, 5)
    for returns, ground, color, needed in zip(
        data.returns, (UPPER, LOWER), ("sky", "red"), (data.episodes, data.watched), strict=True
    ):
        names = [f"episode {i + 1}: {value:.0f}" for i, value in enumerate(returns)]
        if needed < data.episodes:
            names[needed:] = [f"{name}, not run" for name in names[needed:]]
            later = returns[needed:], ground - depth[needed:]
            marks.append(dots(*later, "grey", size=0.25, names=names[needed:], hollow=True))
        marks.append(dots(returns[:needed], ground - depth[:needed], color, size=0.32, names=names[:needed]))
    low, high = LOWER - 0.68, UPPER - 0.08
    marks.append(line([bar, bar], [low, high], "ink", dash=True))
    side = "end" if bar < STEADY + 100 else "start"
    marks.append(
        text([bar + (-60 if side == "end" else 60)], [1.17], [f"{data.criterion}: {bar:.0f}, to reach"], anchor=side)
    )
    if data.criterion == "mean":
        marks.append(line([score, score], [low, LOWER - 0.08], "red", width=3))
    else:
        i = data.watched - 1 if not taken else int(data.returns[1].argmin())
        marks.append(dots(data.returns[1, [i]], [LOWER - depth[i]], "red", size=0.75, hollow=True))
    marks += [
        text([60], [UPPER + 0.75], ["checkpoint"], "sky", anchor="start", bold=True, size=1.15),
        text([60], [UPPER + 0.5], [f"mean {data.means[0]:.0f}"], "sky", anchor="start"),
        text([60], [LOWER + 1.0], ["challenger"], "red", anchor="start", bold=True, size=1.15),
        text([60], [LOWER + 0.75], [f"mean {data.means[1]:.0f}"], "red", anchor="start"),
        handle(best, LOWER + 1 - data.fall, "gain", along_x="gain", zero=STEADY),
        handle(FALLEN, LOWER + data.fall, "falls", along_y="fall"),
        text([FALLEN + 130], [LOWER + data.fall + 0.12], [f"falls: {100 * data.fall:.0f} %"], "red", anchor="start"),
    ]
    below = data.criterion == "minimum" and not taken
    how = f"in episode {data.watched}" if below else f"with {data.criterion} {score:.0f}"
    title = f"assessment {data.assessment}: {'taken' if taken else 'refused'} {how}"
    return View(Axis(0, 6150, "return of an episode"), Axis(LOWER - 0.7, UPPER + 1.05, ticks={}), marks, title)


def hill(mean: float, spread: float, ground: float, height: float, color: str) -> list[Mark]:
    """A normal distribution, as high as its chance."""
    x = np.linspace(-3, 3, 31)
    level = np.full(x.size, ground)
    top = level + height * np.exp(-(x**2) / 2)
    return [area(mean + spread * x, level, top, color), line(mean + spread * x, top, color)]


def describe(data: Assessment) -> str:
    at = EPISODES.index(data.episodes)
    by_minimum, by_mean = 100 * data.replaced[:, at]
    chance, cost = data.chosen
    return (
        f"The checkpoint returns {data.means[0]:.0f} on average, the challenger {data.means[1]:.0f}. After "
        f"{counted(data.episodes, 'episode')} each, the challenger is taken by the minimum in "
        f"{by_minimum:.0f} % of the cases, by the mean in {by_mean:.0f} %. Chosen: the {data.criterion}, "
        f"{100 * chance:.0f} %, and {cost:.1f} episodes are spent on the challenger on average."
    )


@presets.offered(PRESETS)
def widget(values: presets.Values) -> Panel:
    """Make a challenger better or less reliable, and see who is kept."""
    controls = {
        "criterion": choice(values["criterion"], CRITERIA, "assess by"),
        "episodes": selection(values["episodes"], EPISODES, "episodes n"),
        "assessment": slider(values["assessment"], 1, SHOWN, 1, "assessment"),
        "gain": slider(values["gain"], -1000, 2000, 100, "gain"),
        "fall": slider(values["fall"], 0.0, 0.5, 0.05, "falls, p"),
        "spread": slider(values["spread"], 50, 500, 50, "spread"),
    }
    more = "gain", "fall", "spread"
    return Panel(compute, scene, describe, controls, more, play="assessment")
