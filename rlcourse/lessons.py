"""What the notebooks call: show tested code, compare two pieces of it, ask for a prediction, watch an agent learn."""

import ast
import base64
import copy
import difflib
import inspect
import json
import os
import textwrap
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from html import escape
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar

import gymnasium as gym
import imageio.v3 as imageio
import ipywidgets
import numpy as np
import torch
from IPython.display import HTML, DisplayHandle, Image, Markdown, display
from jaxtyping import Float, UInt8
from tqdm.auto import tqdm

from rlcourse import files
from rlcourse.algorithms.ddpg import DDPG
from rlcourse.curves import reference as reference  # for the notebooks, like the other names imported as themselves
from rlcourse.pictures import Flips as Flips
from rlcourse.pictures import History, learning_curve
from rlcourse.pictures import Walk as Walk
from rlcourse.pictures import bias as bias
from rlcourse.pictures import compare_to_reference as compare_to_reference
from rlcourse.pictures import curves as curves
from rlcourse.pictures import efficiency as efficiency
from rlcourse.pictures import estimates as estimates
from rlcourse.pictures import plot_arrivals as plot_arrivals
from rlcourse.pictures import plot_drives as plot_drives
from rlcourse.pictures import plot_each_seed as plot_each_seed
from rlcourse.pictures import plot_passing as plot_passing
from rlcourse.pictures import plot_roc as plot_roc
from rlcourse.pictures import plot_walks as plot_walks
from rlcourse.pictures import watched as watched
from rlcourse.rendering import moving_picture
from rlcourse.rendering import record as record
from rlcourse.widgets.panel import Choice, Keys

T = TypeVar("T")
PREDICTIONS = Path("predictions.json")  # in the notebook's own folder: that is where its kernel runs
LETTERS = "ABCDEFGH"  # of the choices, for a show of hands and where a letter must be enough
PACKAGE = Path(__file__).parent
WORKSHOPS = PACKAGE.parent / "notebooks" / "workshops"


def show(*code: Callable[..., Any]) -> Markdown:
    """Show the source of functions or classes, the same that the tests test, each under its rendered docstring.

    What a workshop asks students to write is folded away; the line to open it names the workshop and the step.
    """
    return Markdown("\n\n---\n\n".join(_unspoiled(page(one), one) for one in code))


def _unspoiled(text: str, *code: Callable[..., Any]) -> str:
    """A text that shows the code, folded where a workshop asks students to write a part of it."""
    asked = [workshop_steps()[name_of(each)] for each in code if name_of(each) in workshop_steps()]
    if not asked:
        return text
    workshop, step = asked[0]
    return folded(f"Write it yourself first: workshop {workshop}, step {step}", text)


def folded(summary: str, text: str) -> str:
    """Markdown text that is hidden until the reader clicks on the summary."""
    return f"<details><summary>{escape(summary, quote=False)}</summary>\n\n{text}\n\n</details>"


@cache
def workshop_steps() -> dict[str, tuple[int, int]]:
    """The numbers of workshop and step for each part that a workshop asks for; parts are named as by `name_of`.

    The workshops' cells say so in their metadata, under `rlcourse`: `step`, and `parts`, a list of such names.
    """
    steps: dict[str, tuple[int, int]] = {}
    for path in sorted(WORKSHOPS.glob("w??.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            about = cell["metadata"].get("rlcourse", {})
            steps |= {part: (int(path.stem[1:]), about["step"]) for part in about.get("parts", ())}
    return steps


def name_of(code: Callable[..., Any]) -> str:
    """The short name of a function or class, such as `dqn.bellman_target`, `dqn.DQN.update`, `buffers.ReplayBuffer`."""
    code = inspect.unwrap(code)
    return f"{code.__module__.split('.')[-1]}.{code.__qualname__}"


def page(*code: Callable[..., Any]) -> str:
    """Markdown with the source of each function or class under its docstring."""
    return "\n\n---\n\n".join(_page(one) for one in code)


def _page(code: Callable[..., Any]) -> str:
    docstring, source = _docstring_and_source(code)
    file = Path(inspect.getfile(inspect.unwrap(code))).relative_to(PACKAGE.parent)
    return f"{docstring}\n\n```python\n{source}\n```\n<sub>{file.as_posix()}</sub>"


def show_diff(before: Callable[..., Any], after: Callable[..., Any]) -> "Diff":
    """Show side by side what changes from one function or class to another, without docstrings.

    Where a workshop asks students to write `after`, both are folded away as in `show`.
    """
    return Diff(before, after)


class Diff:
    """Two sources side by side: only the lines that changed and two lines around them."""

    CONTEXT = 2

    def __init__(self, before: Callable[..., Any], after: Callable[..., Any]) -> None:
        self.code, self.names = (after, before), (before.__qualname__, after.__qualname__)
        self.before, self.after = (_docstring_and_source(code)[1].splitlines() for code in (before, after))

    def __repr__(self) -> str:
        return "\n".join(difflib.unified_diff(self.before, self.after, *self.names, n=self.CONTEXT, lineterm=""))

    def _repr_html_(self) -> str:
        matcher = difflib.SequenceMatcher(None, self.before, self.after, autojunk=False)
        rows = [_diff_row(*self.names, "th", changed=False)]
        for number, group in enumerate(matcher.get_grouped_opcodes(self.CONTEXT)):
            if number:
                rows.append(_diff_row("⋮", "⋮", "td", changed=False))
            for tag, i1, i2, j1, j2 in group:
                # If one side has fewer lines, it is filled up with empty ones.
                for left, right in zip_longest(self.before[i1:i2], self.after[j1:j2], fillvalue=""):
                    rows.append(_diff_row(left, right, "td", changed=tag != "equal"))
        return _unspoiled(f"<table style='width:100%;table-layout:fixed'>{''.join(rows)}</table>", *self.code)


def _diff_row(left: str, right: str, tag: str, changed: bool) -> str:
    cells = []
    # Orange and blue with a sign in front: about one man in twelve cannot tell red from green.
    for text, tint, sign in ((left, "rgba(213,94,0,.22)", "−"), (right, "rgba(0,114,178,.22)", "+")):
        mark, background = (sign, f"background:{tint};") if changed and text else (" ", "")
        style = f"{background}text-align:left;white-space:pre-wrap;vertical-align:top;font-family:monospace"
        cells.append(f"<{tag} style='{style}'>{mark} {escape(text)}</{tag}>")
    return f"<tr>{''.join(cells)}</tr>"


def _docstring_and_source(code: Callable[..., Any]) -> tuple[str, str]:
    source = textwrap.dedent(inspect.getsource(code))
    lines, definition = source.splitlines(), ast.parse(source).body[0]
    assert isinstance(definition, ast.FunctionDef | ast.ClassDef)
    if ast.get_docstring(definition) is not None:
        del lines[definition.body[0].lineno - 1 : definition.body[0].end_lineno]
    return inspect.cleandoc(ast.get_docstring(definition) or ""), "\n".join(lines)


class Prediction:
    """A question, its choices, and a button that commits to one of them; made by `predict`.

    The question stands above as text and is there to read where no kernel answers, too. What is committed takes the
    button's place, as text again: a notebook that is opened another day shows it.
    """

    def __init__(self, key: str, question: str, choices: Sequence[str]) -> None:
        self.key, self.question, self.choices = key, question, list(choices)
        committed = _read_predictions().get(key)
        self._choice = Choice(choices=self.choices, committed=committed if committed in self.choices else None)
        self._choice.on_msg(self._commit)
        self._shown = DisplayHandle()

    @property
    def committed(self) -> str | None:
        """What the student committed to; None until then."""
        return self._choice.committed

    def _commit(self, _: Any, message: Mapping[str, str], __: Any) -> None:
        choice = message["choice"]
        try:
            _write_predictions(_read_predictions() | {self.key: choice})
        except OSError as error:
            self._choice.problem = ""  # the same one twice is news, too
            self._choice.problem = f"not stored: {error}"
            return
        self._choice.committed = choice
        self._shown.update(self._commitment())
        for answer in _waiting.pop((self.key, *self.choices), ()):
            answer.open(choice)

    def _commitment(self) -> Markdown:
        assert self.committed is not None
        return Markdown(f"Committed: **{self.lettered(self.committed)}**")

    def lettered(self, choice: str) -> str:
        """As in "B: the second one"."""
        return f"{LETTERS[self.choices.index(choice)]}: {choice}"

    def reveal(self, answer: str | None, because: str) -> "Answer | Markdown":
        """The answer next to what was predicted, as soon as something is. None: not known yet.

        Raises:
            ValueError: the answer is not one of the choices.
        """
        if answer is None:
            return Markdown("*There is no answer yet: let the cell that trains run to its end.*")
        if answer not in self.choices:
            raise ValueError(f"answer = {answer!r} is none of the choices {self.choices}")
        return Answer(self, answer, because)

    def __repr__(self) -> str:
        choices = (f"- **{letter}:** {choice}" for letter, choice in zip(LETTERS, self.choices, strict=False))
        return "\n".join([f"**Predict:** {self.question}\n", *choices])

    def _ipython_display_(self, **_: Any) -> None:
        display(Markdown(repr(self)))
        committing = ipywidgets.VBox([self._choice, Keys()])
        self._shown.display(committing if self.committed is None else self._commitment())


class Answer:
    """What `Prediction.reveal` shows: it waits for a commit, whenever that comes, and opens in its place.

    A reader of the stored notebook cannot commit: for them `publish.normalise` leaves the answer folded. Slides take it
    from the metadata.
    """

    WAITS = "Predict first: choose above and press the button. Then the answer appears here."
    LOST = "(If you have reloaded this page since, run this cell again.)"

    def __init__(self, prediction: Prediction, answer: str, because: str) -> None:
        self.prediction, self.answer, self.because = prediction, answer, because
        self._shown = DisplayHandle()

    def open(self, committed: str) -> None:
        """Show it to those who see it waiting."""
        self._shown.update(self._opened(committed))

    def _opened(self, committed: str) -> Markdown:
        right = committed == self.answer
        verdict = "✔ as you predicted" if right else f"✘ you predicted “{self.prediction.lettered(committed)}”"
        return Markdown(f"**{self.prediction.lettered(self.answer)}** ({verdict}). {self.because}")

    def __repr__(self) -> str:
        return f"**{self.prediction.lettered(self.answer)}.** {self.because}"

    def _ipython_display_(self, **_: Any) -> None:
        if (committed := self.prediction.committed) is not None:
            self._shown.display(self._opened(committed))
            return
        _waiting.setdefault((self.prediction.key, *self.prediction.choices), []).append(self)
        # Where both kinds of text are there, HTML is what is shown.
        waits = {
            "text/html": f"<em>{self.WAITS}</em> <small>{self.LOST}</small>",
            "text/markdown": folded("Open after you have predicted", repr(self)),
        }
        self._shown.display(waits, raw=True, metadata={"text/markdown": {"answer": repr(self)}})


_waiting: dict[tuple[str, ...], list[Answer]] = {}  # by key and choices: the question may be run again in between


def predict(key: str, question: str, choices: Sequence[str]) -> Prediction:
    """Let the student commit to an answer before the result is worth looking at.

    The answer is kept under `key` in `predictions.json` in the notebook's folder, and nowhere else; deleting the file
    forgets it. Never blocks: without a student, `Prediction.reveal` waits for somebody who predicts.

    Raises:
        ValueError: fewer than two choices, more than there are letters, or two alike.
    """
    if len(set(choices)) < max(2, len(choices)) or len(choices) > len(LETTERS):
        raise ValueError(f"choices = {list(choices)}: give two to {len(LETTERS)}, all different")
    return Prediction(key, question, choices)


def _read_predictions() -> dict[str, str]:
    try:
        predictions = json.loads(PREDICTIONS.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        predictions = None
    if not isinstance(predictions, dict):
        aside = PREDICTIONS.with_name(f"predictions-unreadable-{time.time_ns()}.json")
        PREDICTIONS.rename(aside)
        print(f"{PREDICTIONS} could not be read; it is kept as {aside.name} and a new one begins")
        return {}
    return predictions


def _write_predictions(predictions: dict[str, str]) -> None:
    files.write(PREDICTIONS, json.dumps(predictions, indent=2, ensure_ascii=False))


def choose(label: str, options: Sequence[T]) -> T:
    """What is chosen in a menu in the output of the cell that asks; until somebody chooses, the first option.

    The cell takes the new choice when it is run again, and then its menu still says the same.

    Raises:
        ValueError: fewer than two options.
    """
    if len(options) < 2:
        raise ValueError(f"options = {list(options)}: give two or more")
    key = label, *map(str, options)
    if key not in _menus:
        named = [(str(option), option) for option in options]
        _menus[key] = ipywidgets.Dropdown(options=named, description=label, style={"description_width": "initial"})
    display(ipywidgets.VBox([_menus[key], Keys()]))
    chosen: T = _menus[key].value
    return chosen


_menus: dict[tuple[str, ...], ipywidgets.Dropdown] = {}


def budget(quick: int, full: int | None = None) -> int:
    """How long to train: `quick` in a lecture, `full` where the environment variable `RLCOURSE_BUDGET` says "full".

    Without `full`, more training would show nothing new.

    It may say "test", too: a tenth of `quick`, to see that every cell runs, see `only_tested`.

    Raises:
        ValueError: the variable says something else.
    """
    choices = {"quick": quick, "full": full or quick, "test": max(1, quick // 10)}
    chosen = os.environ.get("RLCOURSE_BUDGET", "quick")
    if chosen not in choices:
        raise ValueError(f"RLCOURSE_BUDGET = {chosen!r} is unknown: set it to quick or full")
    return choices[chosen]


def only_tested() -> bool:
    """Whether a notebook runs only to see that it runs: then everything that trains stops early."""
    return os.environ.get("RLCOURSE_BUDGET") == "test"


def watch(
    metrics: Iterable[dict[str, Any]],
    steps: int,
    goal: float | None = None,
    window: int = 50,
    keep: Sequence[str] = (),
) -> History:
    """Run a training loop to its end under a progress bar and a live curve of the episodes' returns.

    Interrupting the kernel (the square button) ends the loop; the agent keeps what it has learned and can be used.

    Args:
        metrics: what `loop.train` or `loop.evaluated` yields.
        steps: how many environment steps it will take.
        goal: a return to reach; the picture has a line there.
        window: the curve is a running mean over this many episodes.
        keep: names of metrics to keep, as in `History.kept`.
    """
    kept: dict[str, list[tuple[float, float]]] = {name: [] for name in keep}
    finished: list[tuple[float, float]] = []
    evaluations: list[tuple[float, float]] = []
    handle = DisplayHandle()
    handle.display(learning_curve(finished, steps, goal, window))
    drawn = time.monotonic()
    with tqdm(total=steps, unit="step") as bar:
        try:
            for metric in metrics:
                bar.update(int(metric["step"]) - bar.n)
                if "episode_return" in metric:
                    finished.append((metric["step"], metric["episode_return"]))
                if "evaluation" in metric:
                    evaluations.append((metric["step"], float(metric["evaluation"].mean())))
                for name in kept.keys() & metric.keys():
                    kept[name].append((metric["step"], metric[name]))
                if time.monotonic() - drawn > 0.5:
                    handle.update(learning_curve(finished, steps, goal, window))
                    drawn = time.monotonic()
        except KeyboardInterrupt:
            print(f"Stopped by hand after {bar.n} steps; the agent keeps what it has learned.")
    handle.update(learning_curve(finished, steps, goal, window))
    pairs = {name: np.array(rows, float).reshape(-1, 2) for name, rows in kept.items()}
    return History(np.array(finished, float).reshape(-1, 2), np.array(evaluations, float).reshape(-1, 2), pairs)


def value_while_learning(
    agent: DDPG, obs: np.ndarray, tau: float, learning: bool, updates: int, seed: int
) -> Float[np.ndarray, " tens"]:
    """What a copy of `agent` believes its own action is worth at `obs`, after every tenth of `updates` updates.

    The copy learns from the agent's memory; the agent itself does not change.

    Args:
        tau: of the copy's target networks.
        learning: whether the copy's actor learns; if not, only its critic does.
        seed: of the batches.
    """
    student, batches = copy.deepcopy(agent), torch.Generator().manual_seed(seed)
    student.config = replace(agent.config, tau=tau)
    if not learning:
        student.target_actor.load_state_dict(student.actor.state_dict())
        student.actor_optimizer.param_groups[0]["lr"] = 0.0
    values = np.empty(updates // 10)
    for update in range(updates):
        student.update(student.replay.sample(student.config.batch_size, batches))
        if update % 10 == 9:
            values[update // 10] = student.value(obs, student.act(obs, explore=False))
    return values


def verdict(what: str, value: float, at_least: float) -> None:
    """Print whether learning got as far as it should. It never raises an error, so that the notebook goes on."""
    if value >= at_least:
        places = 1 if abs(at_least) >= 1 else 2  # a share needs more
        print(f"✔ {what}: {value:.{places}f}, at least {at_least:g} wanted")
    elif only_tested():
        print(f"○ {what}: {value:.6g}. RLCOURSE_BUDGET=test: too short a training for the {at_least:g} wanted.")
    else:
        print(f"✘ {what}: {value:.6g}, below the {at_least:g} wanted. Train longer, or see what went wrong.")


def video(frames: Sequence[UInt8[np.ndarray, "height width 3"]], fps: float, alt: str) -> Image:
    """Show frames as a small looping picture, which is stored in the notebook."""
    data = imageio.imwrite("<bytes>", np.stack(frames), extension=".gif", duration=1000 / fps, loop=0)
    return Film(data, format="gif", metadata={"alt": alt})


def before_and_after(
    world: gym.Env | tuple[gym.Env, gym.Env],
    before: Any,
    after: Any,
    seed: int,
    names: tuple[str, str] = ("before training", "after it"),
    steps: int | None = None,
    every: int = 2,
) -> None:
    """Show the beginning of the same episode without exploration, by two agents side by side, in real time.

    An episode that ends sooner stands still at its end. Which is which is printed below.

    Args:
        world: made with `render_mode="rgb_array"`; or two, one for each agent, if they observe it differently.
        before, after: anything with `act(obs, explore)`.
        names: what the two are.
        steps: how many of the episode; three seconds if not given.
        every: a frame for every so many steps.
    """
    worlds = world if isinstance(world, tuple) else (world, world)
    rate = worlds[0].metadata["render_fps"]
    steps = steps or 3 * rate
    films = [record(own, agent, seed, frames=steps + 1) for own, agent in zip(worlds, (before, after), strict=True)]
    beside = [  # half as large: a tenth of a megabyte
        np.concatenate([film[min(step, len(film) - 1)][::2, ::2] for film in films], axis=1)
        for step in range(0, max(map(len, films)), every)
    ]
    words = [f"{'ends' if len(film) <= steps else 'goes on'} after {len(film) - 1} steps" for film in films]
    sides = (f"{name} ({side}: {what})" for name, side, what in zip(names, ("left", "right"), words, strict=True))
    said = f"The same episode: {' and '.join(sides)}."
    display(video(beside, rate / every, said))
    print(textwrap.fill(said, 90))


class Film(Image):
    """A moving picture that JupyterLab shows as HTML, which can stand still; what is stored is the picture."""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        data, metadata = super()._repr_mimebundle_(include, exclude)
        return data | {"text/html": moving_picture(self.data, self.metadata["alt"])}, metadata


def stored_video(name: str, alt: str, height: int = 480) -> HTML:
    """Show the film `name` from `assets/videos` (without the ending), which is stored in the notebook.

    Films of robots are 480 pixels wide and high; with a smaller `height` the upper part, empty sky, is cut off. The
    whole of a film of CartPole is 316 high.
    """
    data = base64.b64encode((PACKAGE.parent / "assets" / "videos" / f"{name}.mp4").read_bytes()).decode()
    source = f"data:video/mp4;base64,{data}"
    shape = f"width='480' height='{height}' style='object-fit:cover;object-position:bottom'"
    return HTML(f"<video src='{source}' aria-label='{escape(alt)}' {shape} autoplay loop muted controls></video>")
