"""The frame of the widgets that matplotlib still draws: controls on top, one picture below.

A widget is three functions, `compute(**values) -> data`, `draw(figure, data)` and `describe(data) -> str`, and a
`Panel` that joins them. The description becomes the picture's alternative text: it states the numbers that the
picture shows, for people who cannot see it and for the tests that compare it with `compute`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import traitlets
from matplotlib.figure import Figure

from rlcourse.widgets.panel import Keys
from rlcourse.widgets.still import COLORS, CSS_PIXELS, Still


class Picture(anywidget.AnyWidget):
    """A PNG with an alternative text. Clicks and arrow keys arrive as messages `{x, y}` and `{key}` (`on_msg`)."""

    _esm = Path(__file__).with_name("picture.js")
    png = traitlets.Bytes().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    width = traitlets.Int().tag(sync=True)


class Panel(ipywidgets.VBox):
    """Controls and the picture that follows them.

    Args:
        compute: from the controls' values, by name, to the data; pure and seeded.
        draw: puts the data on an empty figure.
        describe: says in one sentence or two what the picture shows, with its numbers.
        controls: by the name of `compute`'s parameter; anything with a `value` trait.
        size: of the picture in inches, `(width, height)`.
        rows: the controls, row by row; by default they all stand in one row that wraps.
    """

    def __init__(
        self,
        compute: Callable[..., Any],
        draw: Callable[[Figure, Any], None],
        describe: Callable[[Any], str],
        controls: Mapping[str, traitlets.HasTraits],
        size: tuple[float, float],
        rows: list[list[ipywidgets.Widget]] | None = None,
    ) -> None:
        self.controls, self._compute, self._draw, self._describe = controls, compute, draw, describe
        self._size = size
        self.picture = Picture(width=round(size[0] * CSS_PIXELS))
        self._message = ipywidgets.HTML()
        self._held = False
        self._values: dict[str, Any] = {}  # the last that were drawn, or refused
        wrap = ipywidgets.Layout(flex_flow="row wrap")
        boxes = [ipywidgets.HBox(row, layout=wrap) for row in rows or [list(controls.values())]]
        for control in (control for box in boxes for control in box.children):
            control.tooltip = control.tooltip or control.description  # else one that says "null" pops up
        super().__init__([Keys(), *boxes, self._message, self.picture])
        self.redraw()
        for control in controls.values():
            control.observe(self.redraw, "value")

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
        return self._still

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
        self._still = Still(lambda figure: self._draw(figure, data), self._describe(data), self._size)
        with self.picture.hold_sync():
            self.picture.alt, self.picture.png = self._still.alt, self._still.png

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
        self._message.value = f"<b style='color: {COLORS[1]}'>{escape(message)}</b>" if message else ""

    def data_coordinates(self, x: float, y: float) -> tuple[float, float]:
        """From a click, in fractions of the picture from its upper left corner, to the first axes' own units."""
        figure = self._still.figure
        across, up = figure.bbox.width * x, figure.bbox.height * (1 - y)
        column, row = figure.axes[0].transData.inverted().transform((across, up))
        return float(column), float(row)

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        # The live view where a kernel answers; a picture on GitHub, on paper, in a notebook not yet run.
        # One that began with values that `compute` refused has no picture yet, but says why.
        data, metadata = self._still._repr_mimebundle_() if hasattr(self, "_still") else ({}, {})
        return super()._repr_mimebundle_() | data, metadata
