"""The frame of every widget: presets and controls on top, one picture below that follows them.

A widget is three functions, `compute(**values) -> data`, `scene(data) -> Scene` and `describe(data) -> str`, and a
`Panel` that joins them. The browser draws the scene. The description is the picture's alternative text: it states the
numbers that the picture shows, for people who cannot see it and for the tests that compare it with `compute`.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import numpy as np
import traitlets

from rlcourse.widgets.scene import COLORS, LETTERS, NIGHT, Scene, payload
from rlcourse.widgets.still import Still, on_paper

LABEL, WIDTH = "118px", "330px"  # of a control's name, and of the whole control
END = 10**6  # steps: further than any control goes
KEYS = {"ArrowUp": (0, 1), "ArrowDown": (0, -1), "ArrowLeft": (-1, 0), "ArrowRight": (1, 0)}
KEYS |= {"Home": (-END, -END), "End": (END, END)}


class Picture(anywidget.AnyWidget):
    """A scene in the browser. What a hand moves on it comes back as `moved` (see `scene.js`)."""

    _esm = Path(__file__).with_name("scene.js")
    # As one text: ipywidgets and JupyterLab would look through and compare thousands of numbers, several times a move.
    scene = traitlets.Dict().tag(sync=True, to_json=lambda scene, _: json.dumps(scene, separators=(",", ":")))
    alt = traitlets.Unicode().tag(sync=True)
    colors = traitlets.Dict({"day": COLORS, "night": NIGHT, "letters": LETTERS}).tag(sync=True)
    takes_keys = traitlets.Bool(False).tag(sync=True)
    moved = traitlets.Dict().tag(sync=True)


class Choice(anywidget.AnyWidget):
    """The letters of choices, and a button that commits to one: the click arrives as a message `{choice}` (`on_msg`).

    Whoever stores it sets `committed`, or `problem` if that fails; until then the button says that it is sending.
    """

    _esm = Path(__file__).with_name("choice.js")
    choices = traitlets.List(traitlets.Unicode()).tag(sync=True)
    committed = traitlets.Unicode(None, allow_none=True).tag(sync=True)
    problem = traitlets.Unicode().tag(sync=True)


class Keys(anywidget.AnyWidget):
    """Put into a `VBox`, keeps the keys pressed there from JupyterLab, so that a keyboard is enough for everything."""

    _esm = Path(__file__).with_name("keys.js")


class Panel(ipywidgets.VBox):
    """Controls and the picture that follows them.

    Args:
        compute: from the controls' values, by name, to the data; pure and seeded.
        scene: what to draw.
        describe: says in one sentence or two what the picture shows, with its numbers.
        controls: by the name of `compute`'s parameter; anything with a `value` trait.
        more: the names of the controls that wait behind "more settings"; at most three others are good at first sight.
        play: the name of a slider that a Play button moves on.
        rows: the first row and those behind "more settings", where not all that stands there is a control.
        on_touch: hears of presses, drags and arrow keys on views that can be touched: `{view, kind, x, y}` in data
            coordinates, or `{key}`.
    """

    def __init__(
        self,
        compute: Callable[..., Any],
        scene: Callable[[Any], Scene],
        describe: Callable[[Any], str],
        controls: Mapping[str, Any],
        more: Sequence[str] = (),
        play: str = "",
        rows: Sequence[Sequence[ipywidgets.Widget]] = (),
        on_touch: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> None:
        self.controls, self._compute, self._scene, self._describe = controls, compute, scene, describe
        self._on_touch, self._held = on_touch, False
        self._values: dict[str, Any] = {}  # the last that were drawn, or refused
        self.picture = Picture(takes_keys=on_touch is not None)
        self._message = ipywidgets.HTML()
        if not rows:
            first = [control for name, control in controls.items() if name not in more]
            if play:
                first.insert(1 + first.index(controls[play]), player(controls[play]))
            rows = [first, [controls[name] for name in more]]
        wrap = ipywidgets.Layout(flex_flow="row wrap")
        boxes: list[ipywidgets.Widget] = [ipywidgets.HBox(row, layout=wrap) for row in rows if row]
        for control in (control for box in boxes for control in box.children):
            control.tooltip = control.tooltip or control.description  # else one that says "null" pops up
        if len(boxes) > 1:
            boxes[1:] = [ipywidgets.Accordion([ipywidgets.VBox(boxes[1:])], titles=["more settings"])]
        super().__init__([Keys(), *boxes, self._message, self.picture])
        self.redraw()
        for control in controls.values():
            control.observe(self.redraw, "value")
        self.picture.observe(self._moved, "moved")

    @property
    def values(self) -> dict[str, Any]:
        """Where the controls stand, by `compute`'s names."""
        # The browser returns a slider's 0.9 as 0.9000000000000001, as soon as it is shown: that is no change.
        return {
            name: round(control.value, 9) if isinstance(control.value, float) else control.value
            for name, control in self.controls.items()
        }

    @property
    def still(self) -> Still:
        """The picture as it is now, for paper."""
        return on_paper(self._shown, self.picture.alt)

    def redraw(self, _: Any = None) -> None:
        """Compute and draw afresh; what `compute` refuses is said above the picture, which stays."""
        values = self.values
        if self._held or values == self._values:
            return
        self._values = values
        try:
            data = self._compute(**values)
        except ValueError as error:
            self.say(str(error))
            return
        self.say("")
        self.show(data)

    def show(self, data: Any) -> None:
        """Draw `data` until a control moves: what `compute` returned, or a later state of it, in a live run."""
        self._shown = self._scene(data)
        with self.picture.hold_sync():
            self.picture.alt, self.picture.scene = self._describe(data), payload(self._shown)

    @contextmanager
    def one_redraw(self) -> Iterator[None]:
        """Inside, controls may change together and pass through combinations that make no sense."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        self.redraw()

    def say(self, message: str) -> None:
        """Show a line above the picture; an empty one takes it away."""
        self._message.value = f"<b style='color: {COLORS['red']}'>{escape(message)}</b>" if message else ""

    def _moved(self, change: Any) -> None:
        """A hand took hold of the picture."""
        moved = change.new
        names = moved.get("along_x", ""), moved.get("along_y", "")
        if any(names):
            with self.one_redraw():
                for name, axis, direction in zip(names, "xy", KEYS.get(moved.get("key", ""), (0, 0)), strict=True):
                    if name:
                        control = self.controls[name]
                        control.value = step(control, direction) if "key" in moved else nearest(control, moved[axis])
        elif self._on_touch is not None:
            self._on_touch(moved)

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        # The live view where a kernel answers; a picture on GitHub, on paper, in a notebook not yet run.
        # One that began with values that `compute` refused has no picture yet, but says why.
        data, metadata = self.still._repr_mimebundle_() if hasattr(self, "_shown") else ({}, {})
        return super()._repr_mimebundle_() | data, metadata


def places(control: Any) -> np.ndarray:
    """What a slider can be set to, from one end to the other."""
    if hasattr(control, "options"):
        return np.array([option[1] if isinstance(option, tuple) else option for option in control.options])
    # Rounded, since 0.1 · 3 is not 0.3; the upper end need not be a whole number of steps away.
    count = int((control.max - control.min) / control.step + 1e-9)
    return np.append((control.min + control.step * np.arange(count + 1)).round(9), control.max)


def nearest(control: Any, value: float) -> Any:
    """The place of a slider that is closest to `value`."""
    found = places(control)
    return found[np.abs(found - value).argmin()].item()


def step(control: Any, direction: int) -> Any:
    """The slider's next place in this direction; at its end it stays."""
    found = places(control)
    return found[np.clip(np.abs(found - control.value).argmin() + direction, 0, len(found) - 1)].item()


def slider(value: Any, low: float, high: float, by: float, name: str) -> ipywidgets.Widget:
    """A slider over whole numbers, or over fractions where `by` is one."""
    kind = ipywidgets.IntSlider if isinstance(by, int) else ipywidgets.FloatSlider
    style, layout = {"description_width": LABEL}, {"width": WIDTH}
    return kind(value=value, min=low, max=high, step=by, description=name, style=style, layout=layout)


def selection(value: Any, options: Sequence[Any], name: str) -> ipywidgets.SelectionSlider:
    """A slider over values that are not evenly spaced."""
    style, layout = {"description_width": LABEL}, {"width": WIDTH}
    return ipywidgets.SelectionSlider(value=value, options=options, description=name, style=style, layout=layout)


def switch(value: bool, name: str) -> ipywidgets.Checkbox:
    """On or off."""
    return ipywidgets.Checkbox(value=value, description=name, indent=False, layout={"width": "220px"})


def choice(value: Any, options: Sequence[Any], name: str) -> ipywidgets.Dropdown:
    """A menu."""
    style, layout = {"description_width": LABEL}, {"width": WIDTH}
    return ipywidgets.Dropdown(value=value, options=options, description=name, style=style, layout=layout)


def buttons(value: Any, options: Sequence[Any], name: str) -> ipywidgets.ToggleButtons:
    """A button for each choice, all of them in sight."""
    style = {"description_width": "initial", "button_width": "auto"}
    return ipywidgets.ToggleButtons(value=value, options=options, description=name, style=style)


def player(control: Any) -> ipywidgets.Play:
    """A Play button that moves a slider on, three times a second."""
    if hasattr(control, "options"):
        trait, first, last, by = "index", 0, len(control.options) - 1, 1
    else:
        trait, first, last, by = "value", control.min, control.max, control.step
    play = ipywidgets.Play(value=getattr(control, trait), min=first, max=last, step=by, interval=300)
    ipywidgets.link((play, "value"), (control, trait))
    return play
