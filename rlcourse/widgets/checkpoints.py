"""When does a challenger replace the checkpoint? By the mean or by the minimum of n episodes, and at what cost.

Two policies whose returns are known in distribution. The steady one, in the checkpoint: normal, mean `STEADY`. The
challenger: as steady, but `gain` better, except that with probability `fall` it falls, and then returns about `FALLEN`.
Both are assessed with n episodes; the challenger replaces the other if its mean, or its minimum, is at least as large
(`td7.TD7`: minimum). With the minimum, an assessment may end at the first episode below the bar, since nothing can
raise a minimum again. Chances are shares of `TRIALS` simulated assessments: read them to about one hundredth.
"""

from dataclasses import dataclass
from typing import Any

import ipywidgets
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from rlcourse.widgets import presets
from rlcourse.widgets.oldpanel import Panel
from rlcourse.widgets.still import COLORS

LECTURE = "9 TD7"
QUESTION = "Which policy is the best so far?"

CRITERIA = ("minimum", "mean")
EPISODES = (1, 2, 3, 5, 10, 20, 50)
STEADY, FALLEN, FALLEN_SPREAD, TRIALS, SEED = 3000.0, 1000.0, 300.0, 4000, 0

_UNSTABLE = {"criterion": "minimum", "episodes": 20, "gain": 1500, "fall": 0.3, "spread": 200}
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
        returns: of the steady policy and of the challenger, the first episode of each trial.
        means: what the two return on average.
        replaced: chance that the challenger replaces the other, for each of `CRITERIA`.
        spent: episodes that the challenger's assessment takes on average, if it ends early.
    """

    criterion: str
    episodes: int
    returns: Float[np.ndarray, "2 trials"]
    means: tuple[float, float]
    replaced: Float[np.ndarray, "2 counts"]
    spent: Float[np.ndarray, " counts"]

    @property
    def chosen(self) -> tuple[float, float]:
        """Chance and cost with the chosen criterion and number of episodes; a mean ends no assessment early."""
        column = EPISODES.index(self.episodes)
        spent = float(self.spent[column]) if self.criterion == "minimum" else float(self.episodes)
        return float(self.replaced[CRITERIA.index(self.criterion), column]), spent


def compute(criterion: str, episodes: int, gain: float, fall: float, spread: float) -> Assessment:
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
    return Assessment(criterion, episodes, both[..., 0], means, replaced, np.array(spent))


def draw(figure: Figure, data: Assessment) -> None:
    left, middle, right = (figure.add_axes((x, 0.155, 0.26, 0.74)) for x in (0.05, 0.38, 0.71))
    low, high = data.returns.min(), data.returns.max()
    names = ("checkpoint", "challenger")
    for name, returns, mean, color in zip(names, data.returns, data.means, (COLORS[5], COLORS[1]), strict=True):
        left.hist(returns, 60, range=(low, high), density=True, color=color, alpha=0.55, label=f"{name}: {mean:.0f}")
        left.axvline(mean, 0, 0.65, color=color, linestyle="--", linewidth=2)  # below the legend
    left.set(xlabel="return of an episode", title="two policies", yticks=[])
    left.set_ylim(0, 1.4 * left.get_ylim()[1])
    left.legend(frameon=False, loc="upper left", fontsize=11, title="mean")

    places = np.arange(len(EPISODES))
    at = EPISODES.index(data.episodes)
    chance, cost = data.chosen
    for name, replaced, color, style in zip(CRITERIA, data.replaced, (COLORS[0], COLORS[4]), ("-", "--"), strict=True):
        middle.plot(places, replaced, style, color=color, label=f"by the {name}: {100 * replaced[at]:.0f} %")
    middle.plot(at, chance, "o", color=COLORS[6], markersize=9)
    middle.set(xlabel="episodes of an assessment", title="chance that the challenger is taken", ylim=(-0.05, 1.45))
    middle.set_yticks([0, 0.5, 1])
    middle.legend(frameon=False, loc="upper left", fontsize=11)

    right.plot(places, EPISODES, "--", color=COLORS[4], label=f"by the mean: {data.episodes}")
    right.plot(places, data.spent, color=COLORS[0], label=f"by the minimum: {data.spent[at]:.1f}")
    right.plot(at, cost, "o", color=COLORS[6], markersize=9)
    right.set(xlabel="episodes of an assessment", title="episodes spent on the challenger", ylim=(0, 75))
    right.legend(frameon=False, loc="upper left", fontsize=11)
    for ax in (middle, right):
        ax.set_xticks(places, [str(count) for count in EPISODES])


def describe(data: Assessment) -> str:
    at = EPISODES.index(data.episodes)
    by_minimum, by_mean = 100 * data.replaced[:, at]
    chance, cost = data.chosen
    return (
        f"The checkpoint returns {data.means[0]:.0f} on average, the challenger {data.means[1]:.0f}. After "
        f"{data.episodes} episodes each, the challenger is taken by the minimum in {by_minimum:.0f} % of the cases, by "
        f"the mean in {by_mean:.0f} %. Chosen: the {data.criterion}, {100 * chance:.0f} %, and {cost:.1f} episodes are "
        "spent on the challenger on average."
    )


@presets.checked
def widget(preset: str = next(iter(PRESETS)), **changes: Any) -> Panel:
    """Make a challenger better or less reliable, and see who is kept.

    Args:
        preset: one of `PRESETS`, where the controls start.
        changes: values of controls, by `compute`'s names, that differ from the preset's.

    Raises:
        ValueError: the preset or the name of a control is unknown, or a value is none that it takes.
    """
    values = presets.start(PRESETS, preset, changes)
    wide = {"style": {"description_width": "90px"}, "layout": {"width": "310px"}}
    make = ipywidgets
    controls = {
        "criterion": make.Dropdown(options=CRITERIA, value=values["criterion"], description="assess by", **wide),
        "episodes": make.SelectionSlider(options=EPISODES, value=values["episodes"], description="episodes n", **wide),
        "gain": make.IntSlider(value=values["gain"], min=-1000, max=2000, step=100, description="gain", **wide),
        "fall": make.FloatSlider(
            value=values["fall"], min=0, max=0.5, step=0.05, description="falls, p", readout_format=".2f", **wide
        ),
        "spread": make.IntSlider(value=values["spread"], min=50, max=500, step=50, description="spread", **wide),
    }
    return presets.attach(Panel(compute, draw, describe, controls, size=(13, 4.1)), PRESETS)
