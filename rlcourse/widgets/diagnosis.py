"""Diagnose this run: a broken agent beside the healthy one, some possible causes, a vote, and the smoking gun.

The runs are recorded (`broken_runs`), three or five seeds of each; the agents are the package's own, broken in exactly
one thing. They have other faults, worlds and seeds than those of the homework. A cause is shown in the data of the
quantity that only this one of the causes explains: `Case.telltale`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

import ipywidgets
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from rlcourse.widgets import broken_runs, presets
from rlcourse.widgets.broken_runs import HEALTHY, compare, from_zero, short
from rlcourse.widgets.oldpanel import Panel
from rlcourse.widgets.still import COLORS

LECTURE = "Any lecture"
QUESTION = "What is broken here?"

BROKEN, NO_VOTE, LETTERS = "broken", "no vote yet", "abcde"


@dataclass(frozen=True)
class Case:
    """One broken agent.

    Attributes:
        recording: of the runs, see `broken_runs.load`.
        about: what agent and world they are of.
        causes: to vote on, one for each of `LETTERS`.
        answer: the letter of the right one.
        telltale: the quantity that gives it away.
        because: what can be seen there, and why it can be nothing else.
        mark: a value of that quantity to compare with, and what it is.
    """

    recording: str
    about: str
    causes: tuple[str, str, str, str, str]
    answer: str
    telltale: str
    because: str
    mark: tuple[float, str] | None = None


CASES: Mapping[str, Case] = {
    "1: a cliff": Case(
        "cliff",
        "Q-learning on CliffWalking, ε = 0.1, γ = 0.99; a step costs 1, a fall 100, then back to the start",
        (
            "it explores while its return is measured",
            "step size too large",
            "it bootstraps past the end",
            "too little exploration",
            "falls are not punished",
        ),
        "a",
        "measured return",
        "What it has learned is right: the value of the start is the healthy one's, and so is the return in training. "
        "Only the measured return differs, and it is that of training: whoever explores there falls now and then.",
        (-13.0, "13 steps along the edge"),
    ),
    "2: a frozen lake": Case(
        "lake",
        "Q-learning on FrozenLake 8 × 8, ε = 0.3, five seeds; return: share of 100 episodes that arrive",
        (
            "the lake is not slippery here",
            "all seeds are the same seed",
            "step size too small",
            "no discount",
            "nothing is broken",
        ),
        "b",
        "return",
        "Five lines of five seeds lie exactly on each other, also in the error of single steps, on ice where every "
        "step is a lottery. An interval over these five would be that of one run.",
    ),
    "3: a line": Case(
        "line",
        "TD3 on a line, to be held at 0; a step costs x² + 0.1 a², and the first 400 only fill the memory",
        (
            "the actor goes down the critics",
            "no terminal mask",
            "the target networks are frozen",
            "the reward has the wrong sign",
            "it never tries anything but its policy",
        ),
        "e",
        "spread of actions",
        "After 400 steps of random actions their spread would be 0.58; this memory holds hardly more than one action. "
        "Here the return does not show it, since the costs say everywhere which way is better. Elsewhere it would.",
        (3**-0.5, "uniform in [−1, 1]"),
    ),
    "4: the price of entropy": Case(
        "price",
        "SAC on a line, a step costs 1 until it is at 0; the target of the entropy is −1 nat, α begins at 1",
        (
            "no entropy in the actor's loss",
            "α is never updated",
            "the targets are frozen",
            "α moves the wrong way",
            "the rewards are too small",
        ),
        "d",
        "temperature",
        "The entropy stays near log 2 = 0.69, the largest there is between −1 and 1, and its target is −1. So α should "
        "fall; it rises, and faster and faster: the more entropy there is, the more is paid for it.",
        (1.0, "where α began"),
    ),
    "5: bits": Case(
        "bits",
        "Q-learning with goals: flip 4 bits until they are as wanted; new goals are drawn from all 16",
        (
            "it does not see the goal",
            "it trains on one goal only",
            "no exploration",
            "it bootstraps past the goal",
            "step size too small",
        ),
        "b",
        "goals in memory",
        "Of 16 goals its memory holds one. Training success only says that this one is reached; on goals drawn anew it "
        "is where it was after 50 episodes, and their values are the initial ones.",
        (1 / 16, "one goal of 16"),
    ),
}
PRESETS: dict[str, dict[str, Any]] = {
    name: {"case": name, "shown": 100, "vote": NO_VOTE, "reveal": False} for name in CASES
}


@dataclass(frozen=True)
class Diagnosis:
    """What the room sees of a case.

    Attributes:
        points: how many points of each line are shown.
        runs: by quantity, the healthy and the broken seeds.
    """

    name: str
    case: Case
    points: int
    vote: str
    reveal: bool
    xlabel: str
    at: Float[np.ndarray, " points"]
    runs: Mapping[str, tuple[Float[np.ndarray, "seeds points"], Float[np.ndarray, "seeds points"]]]


def compute(case: str, shown: int, vote: str, reveal: bool) -> Diagnosis:
    """`shown` is a percentage of the run, `vote` one of `LETTERS` or `NO_VOTE`."""
    chosen = CASES[case]
    recording = broken_runs.load(chosen.recording)
    healthy, broken = recording.runs[HEALTHY], recording.runs[BROKEN]
    points = max(2, int((recording.at <= recording.at[-1] * shown / 100).sum()))
    pairs = {quantity: (healthy[quantity], broken[quantity]) for quantity in healthy}
    return Diagnosis(case, chosen, points, vote, reveal, recording.xlabel, recording.at, pairs)


def draw(figure: Figure, data: Diagnosis) -> None:
    case, n = data.case, data.points
    for number, (quantity, (healthy, broken)) in enumerate(data.runs.items()):
        column, row = number % 2, number // 2
        ax = figure.add_axes((0.06 + 0.31 * column, 0.56 - 0.43 * row, 0.24, 0.3))
        marked = data.reveal and quantity == case.telltale
        compare(ax, data.at[:n], healthy[:, :n], broken[:, :n], 2.5 if marked else 1.5)
        both = np.concatenate([healthy, broken])
        room = 0.08 * (both.max() - both.min() or 1)
        ax.set_ylim(both.min() - room, both.max() + room)
        from_zero(ax, data.at[-1])
        ax.locator_params(axis="y", nbins=3)
        ax.set_title(f"{quantity}: {short(broken[:, n - 1].mean())}", color=COLORS[1] if marked else "black")
        if marked:
            ax.patch.set_facecolor("#fff3d6")
            if case.mark is not None:
                ax.axhline(case.mark[0], color=COLORS[6], linestyle=":", linewidth=1.5)
    figure.text(0.02, 0.955, case.about, fontsize=12)
    figure.text(0.02, 0.02, f"grey: healthy, orange: broken; a line for each seed, over {data.xlabel}s", fontsize=11)

    y = 0.83
    for letter, cause in zip(LETTERS, case.causes, strict=True):
        right, voted = letter == case.answer, letter == data.vote
        color, weight, sign = "black", "bold" if voted else "normal", "▸" if voted else ""
        if data.reveal:
            color = COLORS[2] if right else COLORS[1] if voted else "#666666"
            weight, sign = "bold" if right else "normal", "✔" if right else "✘" if voted else ""
        figure.text(0.645, y, sign, color=color, fontsize=13)
        figure.text(0.665, y, f"{letter}  {cause}", color=color, weight=weight, fontsize=13)
        y -= 0.075
    if data.reveal:
        dotted = f" Dotted: {case.mark[1]}." if case.mark is not None else ""
        figure.text(0.665, y - 0.02, "\n".join(wrap(case.because + dotted, 46)), va="top", fontsize=12)


def describe(data: Diagnosis) -> str:
    n, case = data.points, data.case
    ends = "; ".join(
        f"{quantity} {short(broken[:, n - 1].mean())}, healthy {short(healthy[:, n - 1].mean())}"
        for quantity, (healthy, broken) in data.runs.items()
    )
    causes = ", ".join(f"{letter}: {cause}" for letter, cause in zip(LETTERS, case.causes, strict=True))
    said = f" The room says {data.vote}." if data.vote != NO_VOTE else ""
    if data.reveal:
        said += f" The cause is {case.answer}, and {case.telltale} shows it. {case.because}"
    return f"{case.about}. At {data.xlabel} {data.at[n - 1]:g}: {ends}. Causes, {causes}.{said}"


@presets.checked
def widget(preset: str = next(iter(PRESETS)), **changes: Any) -> Panel:
    """Vote on what is broken in an agent, then see what gave it away.

    Args:
        preset: one of `PRESETS`, where the controls start.
        changes: values of controls, by `compute`'s names, that differ from the preset's.

    Raises:
        ValueError: the preset or the name of a control is unknown, or a value is none that it takes.
    """
    values = presets.start(PRESETS, preset, changes)
    wide = {"style": {"description_width": "90px"}, "layout": {"width": "290px"}}
    make = ipywidgets
    controls = {
        "case": make.Dropdown(options=list(CASES), value=values["case"], description="case", **wide),
        "shown": make.IntSlider(value=values["shown"], min=20, max=100, step=5, description="shown, %", **wide),
        "vote": make.Dropdown(options=[NO_VOTE, *LETTERS], value=values["vote"], description="vote", **wide),
        "reveal": make.Checkbox(value=values["reveal"], description="reveal", indent=False, layout={"width": "120px"}),
    }
    return presets.attach(Panel(compute, draw, describe, controls, size=(13, 4.6)), PRESETS)
