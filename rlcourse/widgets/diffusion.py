r"""From noise to one of two actions: the samples of a diffusion policy, and what they are after how many steps.

Two demonstrators were seen in the same state. Each does its own action of two numbers, with a spread σ, the second one
in a share w of all demonstrations. What a diffusion policy should learn from that is known exactly: noised actions are
again a mixture of two Gaussians (`cloning.Mixture.noised`), and the best guess at the action in x is its mean,

$$\mathrm{E}[a \mid x] = \frac{x + (1 - \bar\alpha_t)\, \nabla_x \log p_t(x)}{\sqrt{\bar\alpha_t}}.$$

`diffusion.Diffusion.path` makes `SAMPLES` actions of noise, with one of two guesses.

- **Exact**: the formula above. Nothing is wrong because of learning: what is wrong with few steps is the sampler's own
  error.
- **Network**: it has seen `DEMONSTRATIONS` actions, each noised once. So that it can be fitted anew at every move of a
  hand, its hidden units stay as they were drawn, and only its last layer is learned, by least squares.

- **One step** goes from pure noise straight to the best guess at the action. Nothing in the noise says which of the
  two, so the guess is the *mean* of the demonstrations, as with squared error.
- **Many steps** guess anew after each little step. As soon as a sample is a little nearer to one of the two, the guess
  leans to that one.

A sample is **decided** from the step on from which it stays on the side of the demonstrator with which it ends. It is
**astray** if it ends further than `FAR` spreads from both.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rlcourse.algorithms.cloning import Mixture
from rlcourse.algorithms.diffusion import Diffusion, kept, noised
from rlcourse.widgets import presets
from rlcourse.widgets.panel import Panel, choice, selection, slider
from rlcourse.widgets.scene import Axis, Scene, View, arrows, dots, handle, line, percent, text

Guess = Callable[[Tensor, Tensor], Tensor]

LECTURE = "10 Learning from data"
QUESTION = "How does noise become one of two actions, and not their mean?"

STEPS = (1, 2, 3, 5, 10, 20, 50, 100)
GUESSES = ("exact", "network")
SAMPLES, SEED = 200, 0
LEVELS = 100  # of noise, in what the network has seen
DEMONSTRATIONS, UNITS, STEEPNESS, RIDGE = 2000, 150, 2.0, 1e-3  # of the network
TAILS, TAIL = 40, 2  # samples that are drawn with a tail, and its length in steps
TRAILS, POINTS = 20, 12  # samples whose way is drawn beside it, and places on that
FIRST = (-0.6, -0.3)  # the first demonstrator's action
FAR = 3.0  # spreads
REACH = 2.4  # of the picture

_TWENTY = {"done": 60, "steps": 20, "guess": "exact", "share": 0.5, "x": 0.6, "y": -0.3, "spread": 0.08}
PRESETS: dict[str, dict[str, Any]] = {
    "on the way": _TWENTY,
    "the start: noise": _TWENTY | {"done": 0},
    "the end: one of two": _TWENTY | {"done": 100},
    "one step: the mean": _TWENTY | {"done": 100, "steps": 1},
    "three steps: half still between": _TWENTY | {"done": 100, "steps": 3},
    "a hundred steps": _TWENTY | {"done": 100, "steps": 100},
    "a network guesses": _TWENTY | {"done": 100, "guess": "network"},
    "one in ten by the second": _TWENTY | {"done": 100, "share": 0.1},
    "near each other: decided late": _TWENTY | {"x": -0.2, "y": 0.1},
}


@dataclass(frozen=True)
class Flow:
    """All samples on their way.

    Attributes:
        step: how many of `steps` are done.
        guess: whose guesses they follow, one of `GUESSES`.
        modes: the two demonstrators' actions.
        left: the share of an action's variance that is left, at the start and after each step: it grows to 1.
        path: where the samples are at the start and after each step.
        second: of each sample, whether it ends on the second demonstrator's side.
        grid, way: places, and from there to the best guess at the action; nothing after the last step.
        astray: for each of `STEPS` the share of samples that end far from both.
    """

    step: int
    steps: int
    guess: str
    share: float
    spread: float
    modes: Float[np.ndarray, "2 2"]
    left: Float[np.ndarray, " steps_and_one"]
    path: Float[np.ndarray, "steps_and_one N 2"]
    second: Bool[np.ndarray, " N"]
    grid: Float[np.ndarray, "G 2"]
    way: Float[np.ndarray, "G 2"]
    astray: Float[np.ndarray, " T"]

    @property
    def decided(self) -> Float[np.ndarray, " steps_and_one"]:
        """The share of samples that are decided, at the start and after each step."""
        right = sides(self.path, self.left, self.modes) == self.second
        from_here_on = np.logical_and.accumulate(right[::-1])[::-1]
        return np.asarray(from_here_on.mean(1))

    @property
    def whose(self) -> str:
        return "the exact guess" if self.guess == "exact" else "a network's guess"

    @property
    def colors(self) -> list[str]:
        """Of each sample: that of the demonstrator with whom it ends, grey if astray."""
        astray = strays(self.path[-1], self.modes, self.spread)
        return ["grey" if far else "blue" if second else "red" for far, second in zip(astray, self.second, strict=True)]


def mixture(share: float, x: float, y: float, spread: float) -> Mixture:
    """The two demonstrators as one distribution."""
    weights = torch.tensor([1 - share, share], dtype=torch.float64).log()
    modes = torch.tensor([FIRST, (x, y)], dtype=torch.float64)
    return Mixture(weights, modes, torch.full((2, 2), spread, dtype=torch.float64).log())


def exact(target: Mixture, x: Tensor, left: float) -> Tensor:
    """The best guess at the actions in x."""
    return (x + (1 - left) * target.noised(left).score(x)) / left**0.5


def network(target: Mixture) -> Guess:
    """A guess that was learned: least squares on noised demonstrations, from hidden units that nobody trained."""
    generator = torch.Generator().manual_seed(SEED)
    weights = STEEPNESS * torch.randn(5, UNITS, dtype=torch.float64, generator=generator)
    many = Mixture(*(each.expand(DEMONSTRATIONS, *each.shape) for each in (target.logits, target.mean, target.log_std)))
    action = many.sample(generator)
    share = kept(LEVELS)[torch.randint(1, LEVELS + 1, (DEMONSTRATIONS,), generator=generator)].double()
    x = noised(action, torch.randn(action.shape, dtype=torch.float64, generator=generator), share)

    def hidden(x: Tensor, share: Tensor) -> Tensor:
        inputs = torch.cat([x, torch.stack([share.sqrt(), (1 - share).sqrt(), torch.ones_like(share)], -1)], -1)
        return (inputs @ weights).tanh()

    units = hidden(x, share)
    last = torch.linalg.solve(units.T @ units + RIDGE * DEMONSTRATIONS * torch.eye(UNITS), units.T @ action)
    return lambda x, share: hidden(x, share) @ last


@lru_cache(maxsize=256)  # a handle comes to hundreds of places
def guesser(guess: str, share: float, x: float, y: float, spread: float) -> Guess:
    """From noised actions and the share of them that is left to a guess at the actions."""
    target = mixture(share, x, y, spread)
    return network(target) if guess == "network" else lambda x, left: exact(target, x, float(left[0]))


def sides(
    path: Float[np.ndarray, "*B N 2"], left: Float[np.ndarray, " *B"], modes: Float[np.ndarray, "2 2"]
) -> Bool[np.ndarray, "*B N"]:
    """Whether each place is nearer to the second mode, where noise has moved it, than to the first."""
    middle, across = np.sqrt(left)[..., None, None] * modes.mean(0), modes[1] - modes[0]
    return np.asarray((path - middle) @ across > 0)


def strays(ends: Float[np.ndarray, "N 2"], modes: Float[np.ndarray, "2 2"], spread: float) -> Bool[np.ndarray, " N"]:
    return np.asarray(np.linalg.norm(ends[:, None] - modes, axis=-1).min(1) > FAR * spread)


@lru_cache(maxsize=256)
def flow(
    steps: int, guess: str, share: float, x: float, y: float, spread: float
) -> Float[np.ndarray, "steps_and_one N 2"]:
    """The samples' ways in so many steps; with more steps they start in the same noise."""
    fresh = torch.randn(steps + 1, SAMPLES, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(SEED))
    diffusion = Diffusion(guesser(guess, share, x, y, spread), kept(steps), (SAMPLES, 2))
    return np.asarray(diffusion.path(fresh).numpy())


def compute(done: int, steps: int, guess: str, share: float, x: float, y: float, spread: float) -> Flow:
    """`done` is the percentage of the steps that are done."""
    setting = guess, share, x, y, spread
    path, modes, left = flow(steps, *setting), np.array([FIRST, (x, y)]), kept(steps).numpy()[::-1]
    step = round(steps * done / 100)
    side = np.linspace(-2, 2, 8)
    grid = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    here = torch.full(grid.shape[:1], float(left[step]), dtype=torch.float64)
    way = guesser(*setting)(torch.as_tensor(grid), here).numpy() - grid
    astray = [strays(flow(count, *setting)[-1], modes, spread).mean() for count in STEPS]
    return Flow(
        step,
        steps,
        guess,
        share,
        spread,
        modes,
        left,
        path,
        sides(path[-1:], left[-1:], modes)[0],
        grid,
        way if step < steps else 0 * way,
        np.array(astray),
    )


def scene(data: Flow) -> Scene:
    decided = data.decided[data.step]
    far = f"{percent(data.astray[STEPS.index(data.steps)])} end astray"
    if data.step < data.steps:
        headline = f"After {data.step} of {data.steps} steps {percent(decided)} of the samples are decided; {far}."
    elif data.steps == 1:
        to = "to" if data.guess == "exact" else "to places near"
        headline = f"One step, {data.whose}: it leads from noise {to} the mean of the demonstrations; {far}."
    else:
        headline = f"{data.steps} steps, {data.whose}: {ending(data)}; {far}."
    return Scene(headline, (plane(data),), (ways(data), lengths(data)))


def plane(data: Flow) -> View:
    """The plane of actions: samples in the colour of the demonstrator with whom they end, and where they go next."""
    here, colors = data.path[data.step], data.colors
    tail = data.path[max(data.step - TAIL, 0) : data.step + 1, :TAILS]
    (x, y), (dx, dy) = data.grid.T, 0.11 * data.way.T
    marks = [arrows(x, y, dx, dy, "grey", width=1)] if data.way.any() else []
    for color in ("grey", "red", "blue"):
        own = tail[:, [each == color for each in colors[:TAILS]]]
        broken = np.concatenate([own, np.full_like(own[:1], np.nan)]).transpose(1, 0, 2).reshape(-1, 2)
        if broken.size and data.step:
            marks.append(line(broken[:, 0], broken[:, 1], color, width=1))
    marks.append(dots(here[:, 0], here[:, 1], colors, size=0.17, alpha=0.8))
    angle = np.linspace(0, 2 * np.pi, 33)
    for x, y in data.modes:
        marks.append(line(x + FAR * data.spread * np.cos(angle), y + FAR * data.spread * np.sin(angle), "ink"))
    for (x, y), other, words, color in zip(
        data.modes, data.modes[::-1], ("first", "second"), ("red", "blue"), strict=True
    ):
        away = 1 if x > other[0] or (x == other[0] and color == "blue") else -1  # from the other one
        place, anchor = x + away * (FAR * data.spread + 0.1), "start" if away > 0 else "end"
        marks.append(text([place], [y], [words], color, anchor=anchor, bold=True))
    x, y = data.modes[1]
    marks.append(handle(x, y, "the second demonstrator", along_x="x", along_y="y", color="blue", size=0.5))
    across, up = (Axis(-REACH, REACH, f"{name} number of the action") for name in ("first", "second"))
    title = f"{data.step} of {data.steps} steps done; colour: where each ends, grey: astray"
    return View(across, up, marks, title, equal=True)


def ways(data: Flow) -> View:
    """The same samples over the steps, seen along the line through both demonstrators."""
    across = data.modes[1] - data.modes[0]
    along = (data.path[:, :TRAILS] - data.modes[0]) @ across / max(float(across @ across), 1e-9)
    shown = np.unique(np.linspace(0, data.steps, min(POINTS, data.steps + 1)).round().astype(int))
    done = 100 * shown / data.steps
    marks = [line(done, way, color, width=1) for way, color in zip(along[shown].T, data.colors, strict=False)]
    marks += [
        line([0, 100], [0, 0], "red", label="first", width=2.5),
        line([0, 100], [1, 1], "blue", label="second", width=2.5),
        line([100 * data.step / data.steps] * 2, [-2, 3], "ink", dash=True),
        handle(100 * data.step / data.steps, 2.6, "steps done", along_x="done"),
    ]
    return View(
        Axis(0, 100, "steps done, in percent"), Axis(-2, 3, "place between the two", ticks={0.0: "0", 1.0: "1"}), marks,
        f"{TRAILS} samples on their way",
    )  # fmt: skip


def lengths(data: Flow) -> View:
    """How many samples end far from both demonstrators, for each number of steps."""
    chosen = STEPS.index(data.steps)
    marks = [
        line(STEPS, 100 * data.astray, "red"),
        dots(STEPS, 100 * data.astray, "red", size=0.3),
        handle(data.steps, 100 * float(data.astray[chosen]), "steps", along_x="steps"),
    ]
    ticks = {float(count): str(count) for count in STEPS}
    across = Axis(0.9, 115, "steps from noise to the action", log=True, ticks=ticks)
    return View(across, Axis(-3, 108, "samples astray, in percent"), marks, f"further than {FAR:g} spreads from both")


def ending(data: Flow) -> str:
    """The shares of samples that end beside the first and beside the second demonstrator."""
    if np.array_equal(*data.modes):
        return "both demonstrate the same"
    second = round(100 * data.second.mean())
    return f"{100 - second} % on the first one's side, {second} % on the second one's"


def describe(data: Flow) -> str:
    x, y = data.modes[1]
    each = ", ".join(f"{count}: {percent(far)}" for count, far in zip(STEPS, data.astray, strict=True))
    return (
        f"Two demonstrators act at ({FIRST[0]:g}, {FIRST[1]:g}) and, in {percent(data.share)} of all cases, at ({x:g}, "
        f"{y:g}), each with spread {data.spread:g}. {SAMPLES} samples of a diffusion policy, by {data.whose}, after "
        f"{data.step} of {data.steps} steps from noise: {percent(data.decided[data.step])} are decided. In the end: "
        f"{ending(data)}. Astray by number of steps: {each}."
    ).replace("-", "−")


@presets.offered(PRESETS)
def widget(values: presets.Values) -> Panel:
    """Let noise become actions, step by step, and choose how many steps that takes."""
    controls = {
        "done": slider(values["done"], 0, 100, 5, "done, about %"),
        "steps": selection(values["steps"], STEPS, "steps in all"),
        "guess": choice(values["guess"], GUESSES, "guess"),
        "share": slider(values["share"], 0.1, 0.9, 0.1, "second's share"),
        "x": slider(values["x"], -1.0, 1.0, 0.1, "second: x"),
        "y": slider(values["y"], -1.0, 1.0, 0.1, "second: y"),
        "spread": slider(values["spread"], 0.04, 0.16, 0.02, "spread σ"),
    }
    more = "share", "x", "y", "spread"
    return Panel(compute, scene, describe, controls, more, play="done")
