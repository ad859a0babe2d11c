"""Diagnose this run: a broken agent beside the healthy one, some possible causes, a vote, and the smoking gun.

The runs are recorded (`broken_runs`), three or five seeds of each; the agents are the package's own, broken in exactly
one thing. They have other faults, worlds and seeds than those of the homework. A cause is shown in the data of the
quantity that only this one of the causes explains: `Case.telltale`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import traitlets
from jaxtyping import Float

from rlcourse.widgets import broken_runs, presets
from rlcourse.widgets.broken_runs import HEALTHY, short
from rlcourse.widgets.panel import Panel, buttons, player, slider, switch
from rlcourse.widgets.scene import Axis, Mark, Scene, View, around, handle, line

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
LEAST, STEP = 20, 5  # of the run that is shown, in percent
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


def scene(data: Diagnosis) -> Scene:
    case = data.case
    quantities = list(data.runs)
    if data.reveal:  # what gave it away comes first
        quantities.sort(key=lambda quantity: quantity != case.telltale)
    views = [curves(data, quantity, held=quantity == quantities[0]) for quantity in quantities]
    caption = f"{case.because if data.reveal else case.about}. Each line is a seed.".replace("..", ".")
    return Scene(headline(data, quantities[0]), views[:2], views[2:], caption)


def headline(data: Diagnosis, quantity: str) -> str:
    """What is seen of this quantity; and the room's vote and the cause, as far as they are known."""
    case, n = data.case, data.points
    healthy, broken = (span(seeds[:, n - 1]) for seeds in data.runs[quantity])
    seen = f"{quantity} {broken}, healthy {healthy}"
    causes = dict(zip(LETTERS, case.causes, strict=True))
    if data.reveal:
        sign = {NO_VOTE: case.answer, case.answer: f"✔ {case.answer}"}.get(data.vote, f"{case.answer}, not {data.vote}")
        return f"{sign}: {causes[case.answer]} ({seen})."
    asked = "What is broken?" if data.vote == NO_VOTE else f"The room says {data.vote}: {causes[data.vote]}."
    return f"{asked} At {data.xlabel} {data.at[n - 1]:g}: {seen}."


def span(values: Float[np.ndarray, " seeds"]) -> str:
    """From the lowest of the seeds to the highest, in two digits."""
    low, high = (f"{float(f'{end:.2g}'):g}".replace("-", "−") for end in (values.min(), values.max()))
    return f"always {low}" if low == high else f"{low} to {high}"


def curves(data: Diagnosis, quantity: str, held: bool) -> View:
    """A line for each seed: the broken runs in front of the healthy ones. With `held`, a hand moves the end."""
    case, n = data.case, data.points
    healthy, broken = data.runs[quantity]
    marked = data.reveal and quantity == case.telltale
    ends = np.concatenate([healthy, broken]).ravel()
    marks: list[Mark] = []
    if marked and case.mark is not None:
        place, words = case.mark
        marks.append(line([0, data.at[-1]], [place, place], "purple", label=words, dash=True))
        ends = np.append(ends, place)
    for seeds, color, name in ((healthy, "grey", HEALTHY), (broken, "red", BROKEN)):
        marks += [line(data.at[:n], seed[:n], color, width=3 if marked else 1.5) for seed in seeds]
        mean = seeds[:, n - 1].mean()
        marks.append(line(data.at[n - 1 : n], [mean], color, label=f"{name}: {short(mean)}"))
    y = around(ends)  # of the whole run, so that the axes stand still while it is played
    last = float(data.at[-1])
    x = Axis(0, last, data.xlabel, ticks={0: "0", last / 2: f"{last / 2:,.0f}", last: f"{last:,.0f}"})
    if held:
        stops = {last * percent / 100: float(percent) for percent in range(LEAST, 101, STEP)}
        marks.append(handle(data.at[n - 1], y.low, "shown", along_x="shown", stops=stops, size=0.5))
    return View(x, y, marks, f"the giveaway: {quantity}" if marked else quantity, name=quantity)


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


class _Case(traitlets.HasTraits):
    """A control without a face: the presets are the list of cases."""

    value = traitlets.Enum(list(CASES))


def ballot(case: str) -> list[tuple[str, str]]:
    """What can be voted for, in words: the one list of causes."""
    causes = zip(LETTERS, CASES[case].causes, strict=True)
    return [(NO_VOTE, NO_VOTE), *((f"{letter}: {words}", letter) for letter, words in causes)]


@presets.offered(PRESETS)
def widget(values: presets.Values) -> Panel:
    """Vote on what is broken in an agent, then see what gave it away."""
    case = _Case(value=values["case"])
    shown = slider(values["shown"], LEAST, 100, STEP, "shown, %")
    vote = buttons(values["vote"], ballot(case.value), "what is broken?")
    reveal = switch(values["reveal"], "reveal")
    reveal.layout.width = "100px"

    def new_ballot(_: Any) -> None:
        vote.options = ballot(case.value)

    case.observe(new_ballot, "value")
    controls = {"case": case, "shown": shown, "vote": vote, "reveal": reveal}
    return Panel(compute, scene, describe, controls, rows=[[vote, reveal, shown, player(shown)]])
