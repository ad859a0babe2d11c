r"""What replay changes: what a batch contains, and what is still known about states that were left long ago.

An agent walks from one end of a corridor, state 0, to the other, state 1, one walk after the other, `STEPS` steps in
all: few walks are slow ones. After each step a small network is trained on a batch, one gradient step on its mean
squared error: without replay on the newest transitions in a row, with replay on as many drawn from the buffer at
random. The targets are the true values: nothing is wrong with them, and nothing differs but the order of the data. The
network is one layer of fixed tanh units with trained weights on top, so each update also moves the values of far-away
states.

**Correlation of a batch**: of the states of two different transitions from one batch, over all full buffers of the run.
Two draws from a buffer of the newest n transitions are correlated as two of n transitions in a row are, so one formula
serves both: with d the states less their mean over the run, and the mean taken over all windows of length n,
E[(Σd)² − Σd²] / (n(n − 1) Var[d]). No transition without replay is drawn twice; with replay one may be, rarely.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from rlcourse.widgets import presets
from rlcourse.widgets.panel import Panel, selection, slider
from rlcourse.widgets.scene import Axis, Scene, View, around, dots, handle, line, up_to

LECTURE = "2 DQN"
QUESTION = "What does a batch from the past contain?"

STEPS, RUNS, SEED, LR = 1000, 4, 0, 0.5
EVERY = 50  # steps between two moments that can be looked at
LEARNERS = ("without replay", "with replay")
WALKS = (1, 2, 5, 10, 20, 50, 100)
BUFFERS = (32, 64, 125, 250, 500, 1000)
STATES = np.linspace(0, 1, 101)
BINS = 20  # of states, where the error at the last visit is shown
CENTRES = np.linspace(0, 1, 16)  # of the tanh units

_SLOW = {"walks": 1, "buffer": STEPS, "batch": 16, "steps": STEPS}
PRESETS: dict[str, dict[str, Any]] = {
    "one slow walk: what is not replayed is forgotten": _SLOW,
    "ten walks: each overwrites part of the last": _SLOW | {"walks": 10},
    "a hundred quick walks: hardly a difference": _SLOW | {"walks": 100},
    "one slow walk, a small buffer: forgets too": _SLOW | {"buffer": 64},
}


@dataclass(frozen=True)
class Replay:
    """Both learners after `steps` of all `STEPS` steps, mean over `RUNS` runs where there is no first axis for them.

    Attributes:
        path: of the first run, the state at each step.
        batches: of the first run's last update, the steps its transitions are from, for both learners.
        correlation: of two transitions from one batch, for both learners.
        estimates: of the value in `STATES`.
        error: |estimate − value| in `STATES`.
        visit_error: without replay, per bin of states, the error of the last visit, before its update; not a number
            where the walks have not been yet.
        rmse: root mean square error over all states, of each run.
    """

    walks: int
    buffer: int
    batch: int
    steps: int
    path: Float[np.ndarray, " T"]
    batches: Int[np.ndarray, "2 B"]
    correlation: Float[np.ndarray, "2"]
    estimates: Float[np.ndarray, "2 S"]
    error: Float[np.ndarray, "2 S"]
    visit_error: Float[np.ndarray, " bins"]
    rmse: Float[np.ndarray, "2 runs"]

    @property
    def old(self) -> Float[np.ndarray, "2"]:
        """Mean error in the first quarter of the corridor, which a walk leaves first."""
        return self.error[:, STATES <= 0.25].mean(1)

    @property
    def at_visit(self) -> float:
        """The same without replay when the walks were last there, as far as they have been."""
        return float(np.nanmean(self.visit_error[: BINS // 4]))


def value(state: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """What is to be learned."""
    return 0.8 * np.sin(2 * np.pi * state) + 0.5 * state


def features(state: Float[np.ndarray, "*S"]) -> Float[np.ndarray, "*S K"]:
    """The tanh units and a constant, scaled so that a step of size 1 would about meet a single target."""
    units = np.tanh(5 * (state[..., None] - CENTRES))
    return np.concatenate([units, np.ones_like(state)[..., None]], axis=-1) / np.sqrt(len(CENTRES))


def walk(walks: int, rng: np.random.Generator) -> Float[np.ndarray, "runs T"]:
    """The state at each step: evenly along the corridor, each walk with its own start and a little jitter."""
    length = STEPS // walks
    along = (np.arange(length) + rng.random((RUNS, walks, 1))) / length
    return np.clip(along.reshape(RUNS, STEPS) + 0.01 * rng.standard_normal((RUNS, STEPS)), 0, 1)


def correlation(states: Float[np.ndarray, "runs T"], window: int) -> float:
    """Of two different states out of `window` in a row."""
    d = states - states.mean(1, keepdims=True)
    sums, squares = (_windows(each, window) for each in (d, d**2))
    return float((sums**2 - squares).mean() / (window * (window - 1) * (d**2).mean()))


def _windows(x: Float[np.ndarray, "runs T"], window: int) -> Float[np.ndarray, "runs W"]:
    """Sums of all windows."""
    total = np.pad(x.cumsum(1), ((0, 0), (1, 0)))
    return total[:, window:] - total[:, :-window]


def compute(walks: int, buffer: int, batch: int, steps: int = STEPS) -> Replay:
    """Train both learners in all runs at once, for so many of the steps.

    Raises:
        ValueError: the batch does not fit into the buffer.
    """
    if batch > buffer:
        raise ValueError(f"batch = {batch}: more than the buffer of {buffer} holds")
    rng = np.random.default_rng(SEED)
    states = walk(walks, rng)
    targets, inputs = value(states), features(states)
    uniform = rng.random((STEPS, RUNS, batch))
    runs = np.arange(RUNS)[None, :, None]
    weights = np.zeros((2, RUNS, inputs.shape[-1], 1))
    rows = np.empty((2, RUNS, batch), int)
    visit_error = np.empty((RUNS, STEPS))
    for t in range(steps):
        rows[0] = np.maximum(t - np.arange(batch), 0)
        oldest = max(0, t + 1 - buffer)
        rows[1] = oldest + uniform[t] * (t + 1 - oldest)
        x = inputs[runs, rows]
        error = targets[runs, rows] - (x @ weights)[..., 0]
        visit_error[:, t] = np.abs(error[0, :, 0])
        weights += LR / batch * (error[:, :, None] @ x).mT

    estimates = (features(STATES) @ weights)[..., 0]
    error = np.abs(estimates - value(STATES))
    last_visit = np.full((RUNS, BINS), np.nan)
    bins = np.minimum((states * BINS).astype(int), BINS - 1)
    for t in range(steps):
        last_visit[runs[0, :, 0], bins[:, t]] = visit_error[:, t]
    return Replay(
        walks,
        buffer,
        batch,
        steps,
        states[0],
        rows[:, 0],
        np.array([correlation(states, batch), correlation(states, min(buffer, steps))]),
        estimates.mean(1),
        error.mean(1),
        last_visit.mean(0),
        np.sqrt((error**2).mean(-1)),
    )


def scene(data: Replay) -> Scene:
    without, kept = data.old
    headline = (
        f"After {data.steps} steps, where the walks began: error {without:.2f} without replay, {kept:.2f} with it "
        f"(without replay it was {data.at_visit:.2f} when the walker was last there)."
    )
    return Scene(headline, (learned(data), where(data)), (errors(data),))


def learned(data: Replay) -> View:
    """What both learners believe, and where the walker is now."""
    thin = slice(None, None, 2)
    marks = [line(STATES[thin], value(STATES)[thin], "ink", label="true value", width=4, dash=True)]
    for i, color in enumerate(("red", "blue")):
        marks.append(line(STATES[thin], data.estimates[i, thin], color, label=LEARNERS[i], width=3))
    here = float(data.path[data.steps - 1])
    truth = float(value(np.array([here]))[0])
    marks.append(
        line([here, here], [float(data.estimates[0, np.abs(STATES - here).argmin()]), truth], "red", dash=True)
    )
    marks.append(dots([here], [truth], "orange", size=0.7, names=["the walker"]))
    # The same at every step: the true values, and what the learners make of them.
    up = around(value(STATES), data.estimates, -0.6, 1.0, label="value")
    return View(Axis(0, 1.05, "state; orange: the walker, from left to right"), up, marks, "learned values")


def where(data: Replay) -> View:
    """The walks so far, and where the transitions of the last batch come from."""
    steps = np.unique(np.linspace(0, data.steps - 1, 240).round().astype(int))
    marks = [line(steps, data.path[steps], "grey", width=1)]
    for i, color in enumerate(("red", "blue")):
        near = f"{LEARNERS[i]}: correlation {data.correlation[i]:z.2f}".replace("-", "−")
        names = [near] * len(data.batches[i])
        marks.append(dots(data.batches[i], data.path[data.batches[i]], color, size=0.35, names=names))
    near, far = (f"{each:z.2f}".replace("-", "−") for each in data.correlation)
    here = float(data.path[data.steps - 1])
    marks.append(handle(float(data.steps), here, "steps", along_x="steps"))
    title = f"its last batch: correlation {near} without replay (red), {far} with (blue)"
    return View(Axis(0, 1.02 * STEPS, "step"), Axis(-0.03, 1.03, "state"), marks, title)


def errors(data: Replay) -> View:
    """What is wrong now, and what was wrong when the walk was last there."""
    thin = slice(None, None, 2)
    marks = [
        line(STATES[thin], data.error[i, thin], color, label=f"{LEARNERS[i]}: {data.error[i].mean():.2f}")
        for i, color in enumerate(("red", "blue"))
    ]
    centres = (np.arange(BINS) + 0.5) / BINS
    names = [f"without replay, when last there: {each:.2f}" for each in data.visit_error]
    marks.append(dots(centres, data.visit_error, "red", size=0.3, hollow=True, names=names))
    title = "error now; circles: without replay, when last there"
    return View(Axis(0, 1, "state"), up_to(data.error, data.visit_error, label="error"), marks, title)


def describe(data: Replay) -> str:
    parts = [
        f"{name}: correlation within a batch {data.correlation[i]:z.2f}, mean error of the values "
        f"{data.error[i].mean():.3f}, in the first quarter of the states {data.old[i]:.3f}"
        for i, name in enumerate(LEARNERS)
    ]
    return (
        f"Walks through all states: {data.walks}, in {STEPS} steps, seen after {data.steps}; buffer {data.buffer}, "
        f"batch {data.batch}, mean of {RUNS} runs. {'; '.join(parts)}. Without replay the error at the last visit to "
        f"the first quarter was {data.at_visit:.3f}."
    )


@presets.offered(PRESETS)
def widget(values: presets.Values) -> Panel:
    """Change how fast the state moves, the buffer and the batch, and see what is remembered."""
    controls = {
        "walks": selection(values["walks"], WALKS, "walks"),
        "buffer": selection(values["buffer"], BUFFERS, "buffer size"),
        "batch": slider(values["batch"], 2, 32, 1, "batch size"),
        "steps": slider(values["steps"], EVERY, STEPS, EVERY, "steps"),
    }
    return Panel(compute, scene, describe, controls, more=("batch",), play="steps")
