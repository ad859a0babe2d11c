"""Every widget that has presets, without a browser: its controls through their extremes, its presets as controls.

Each preset is drawn once. The extremes of the controls are computed and described, not drawn: the browser's tests
(`tests/browser/test_every_widget.py`) draw both ends of every control. The value between them is for `make test-slow`.
"""

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from itertools import combinations
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

import ipywidgets
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from rlcourse import widgets
from rlcourse.widgets import deadly_triad, overestimation, presets, replay
from rlcourse.widgets.grid import luminance

pytestmark = pytest.mark.thorough  # minutes together: in `make test`, not in the inner loop

MODULES = [
    module
    for found in iter_modules(widgets.__path__, "rlcourse.widgets.")
    if hasattr(module := import_module(found.name), "PRESETS")
]
WIDGETS = pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rsplit(".", 1)[-1])
# Each from its first preset, and overestimation also along the states, where it has other controls.
STARTS = [(module, next(iter(module.PRESETS))) for module in MODULES] + [(overestimation, "zero noise: bump, degree 9")]


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """ipywidgets keeps every widget, with its figure, until it is closed: two gigabytes by the end."""
    yield
    ipywidgets.Widget.close_all()


def ends(control: Any, presets: Mapping[str, Mapping[str, Any]], name: str) -> list[Any]:
    """The values to try; of a control without a face, which other code moves, those of the presets."""
    if not isinstance(control, ipywidgets.Widget):
        return [values[name] for values in presets.values()]
    if hasattr(control, "options"):
        return [option[1] if isinstance(option, tuple) else option for option in control.options]
    return [control.min, control.max] if hasattr(control, "min") else [False, True]


def between(control: Any) -> list[Any]:
    if not hasattr(control, "min"):
        return []
    return [(control.min + control.max) / 2 if isinstance(control.min, float) else (control.min + control.max) // 2]


@dataclass
class Watched:
    """A widget, with the values and the data of its last computation."""

    module: ModuleType
    panel: Any
    computed: list[tuple[dict[str, Any], Any]] = field(default_factory=list)

    def compute(self, **values: Any) -> Any:
        self.computed.append((values, self.module.compute(**values)))
        return self.computed[-1][1]

    def shows(self, values: Mapping[str, Any]) -> bool:
        """That the controls stand at these values, and that the widget says what they give."""
        asked, data = self.computed[-1]
        stand = {key: control.value for key, control in self.panel.controls.items()}
        return stand == asked == values and self.panel.picture.alt == self.module.describe(data)


@contextmanager
def watched(module: ModuleType, *preset: str) -> Iterator[Watched]:
    with pytest.MonkeyPatch.context() as patch:
        widget = Watched(module, module.widget(*preset))
        patch.setattr(widget.panel, "_compute", widget.compute)
        yield widget


def preset_of(panel: Any) -> Any:
    boxes = [child for box in panel.children for child in getattr(box, "children", ())]
    return next(child for child in boxes if isinstance(child, ipywidgets.ToggleButtons))


def move_each_control(module: ModuleType, preset: str, values: Callable[[Any, str], list[Any]]) -> None:
    with watched(module, preset) as widget:
        controls = widget.panel.controls
        before = {name: control.value for name, control in controls.items()}
        for name, control in controls.items():
            for value in values(control, name):
                moved = value != control.value
                widget.computed.clear()
                control.value = value
                stand = {key: each.value for key, each in controls.items()}
                assert stand[name] == value
                assert widget.panel._message.value == ""
                assert not moved or widget.shows(stand)
            with widget.panel.one_redraw():
                for key, old in before.items():
                    controls[key].value = old


@pytest.mark.parametrize(("module", "preset"), STARTS)
def test_every_control_through_its_extremes(module: ModuleType, preset: str) -> None:
    move_each_control(module, preset, lambda control, name: ends(control, module.PRESETS, name))


@pytest.mark.slow
@pytest.mark.parametrize(("module", "preset"), STARTS)
def test_every_control_between_its_extremes(module: ModuleType, preset: str) -> None:
    move_each_control(module, preset, lambda control, name: between(control))


@WIDGETS
def test_presets_move_all_controls_and_step_aside(module: ModuleType) -> None:
    with watched(module) as widget:
        buttons, controls = preset_of(widget.panel), widget.panel.controls
        assert buttons.value == next(iter(module.PRESETS))
        for name, values in reversed(module.PRESETS.items()):
            widget.computed.clear()
            buttons.value = name
            assert widget.shows(values)
            assert len(widget.computed) == 1  # one redraw, not one per control
            assert buttons.value == name
        key, slider = next((key, control) for key, control in controls.items() if hasattr(control, "max"))
        taken = [values[key] for values in module.PRESETS.values()]
        ends = (slider.max, slider.max - slider.step, slider.max - 2 * slider.step)
        slider.value = next(value for value in ends if value not in taken)
        assert buttons.value is None
        buttons.value = name
        assert {key: control.value for key, control in controls.items()} == module.PRESETS[name]


# In front of a room at 1280 × 720, where a widget of 13 inches fills the width: 14 pixels.
SMALLEST = 14 / (1280 / 1320) * 72 / 96
EXEMPT = re.compile(r"-?\d?\.\d\d")  # four action values in one cell of a large grid


@pytest.mark.parametrize(
    ("module", "preset"),
    [
        pytest.param(module, preset, marks=[] if preset == next(iter(module.PRESETS)) else pytest.mark.slow)
        for module in MODULES
        for preset in module.PRESETS
    ],
)
def test_the_last_row_can_read_it(module: ModuleType, preset: str) -> None:
    """Letters of 14 pixels; contrast of 4.5 to 1, for bold ones 3 to 1 (WCAG 2.2, 1.4.3)."""
    still = module.widget(preset).still
    pixels = np.asarray(Image.open(io.BytesIO(still.png)).convert("RGB"))
    codes = pixels @ np.array([1 << 16, 1 << 8, 1])  # one number per colour: quick to count
    canvas = FigureCanvasAgg(still.figure)
    canvas.draw()  # else labels are where they were at another resolution
    scale = pixels.shape[1] / still.figure.bbox.width
    for text in still.figure.findobj(Text):
        if not (text.get_visible() and text.get_text()):
            continue
        if EXEMPT.fullmatch(text.get_text()) and text.axes is not None and text in text.axes.texts:
            continue
        box = text.get_window_extent(canvas.get_renderer())
        left, right = (int(scale * x) for x in (box.x0, box.x1))
        top, bottom = (int(pixels.shape[0] - scale * y) for y in (box.y1, box.y0))
        if left < 0 or top < 0:
            continue  # a tick outside of what is shown
        kinds, count = np.unique(codes[top:bottom, left:right], return_counts=True)
        if not len(kinds):
            continue
        found = np.stack([kinds >> 16, kinds >> 8 & 255, kinds & 255], -1) / 255
        ink = np.array(to_rgb(text.get_color()))
        count[np.abs(found - ink).max(1) < 0.02] = 0  # the letters themselves
        light, dark = sorted((luminance(found[count.argmax()]), luminance(ink)), reverse=True)
        contrast = (light + 0.05) / (dark + 0.05)
        assert contrast >= (3 if text.get_fontweight() == "bold" else 4.5), (preset, text.get_text(), contrast)
        assert text.get_fontsize() >= SMALLEST, (preset, text.get_text())


@WIDGETS
def test_on_paper_no_words_lie_on_others_or_under_a_handle(module: ModuleType) -> None:
    figure = module.widget().still.figure
    FigureCanvasAgg(figure).draw()
    em = 12 / 72 * figure.dpi
    hidden = outside(figure)
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text() and text not in hidden]
    shown = [(text.get_text(), text.get_window_extent()) for text in texts]
    for (words, box), (others, other) in combinations(shown, 2):
        across = min(box.x1, other.x1) - max(box.x0, other.x0)
        down = min(box.y1, other.y1) - max(box.y0, other.y0)
        # The boxes of neighbours on a line may not touch either; above letters there is some room in theirs.
        assert across < -0.15 * em or down < 0.35 * em, (words, others)
    for ax in figure.axes:
        for held in (each for each in ax.collections if not each.get_clip_on()):
            middle = ax.transData.transform(np.asarray(held.get_offsets())[0])
            radius = np.sqrt(held.get_sizes()[0]) / 2 / 72 * figure.dpi
            for words, box in shown:
                nearest = np.clip(middle, box.min, box.max)
                assert np.hypot(*(nearest - middle)) > radius, words


def outside(figure: Figure) -> set[Text]:
    """Labels that matplotlib keeps for ticks beyond the ends of an axis."""
    axes = [(axis, sorted(axis.get_view_interval())) for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]
    return {
        tick.label1
        for axis, (low, high) in axes
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        if not low <= tick.get_loc() <= high
    }


def test_a_rounding_error_from_the_browser_is_no_change() -> None:
    panel = deadly_triad.widget()
    panel.controls["gamma"].value = 0.9000000000000001
    assert preset_of(panel).value == "all three: it grows"


@WIDGETS
def test_little_goes_to_the_browser_and_one_sentence_says_what_to_see(module: ModuleType) -> None:
    """20 kB for each picture; the headline is a sentence with numbers, not one of the descriptions."""
    for preset in module.PRESETS:
        panel = module.widget(preset)
        sent = panel.picture.scene
        assert len(json.dumps(sent, separators=(",", ":"))) <= 20_000, preset
        assert sent["headline"].endswith("."), preset
        assert len(sent["headline"]) <= 150, (preset, sent["headline"])
        assert len(sent["main"]) <= 3
        for view in sent["main"] + sent["others"]:
            for mark in view["marks"]:
                lengths = {
                    len(mark[name]) for name in ("x", "y", "low", "high", "words") if isinstance(mark.get(name), list)
                }
                assert len(lengths) <= 1, (preset, view["title"], mark["kind"], lengths)


@WIDGETS
def test_presets_are_distinct_and_complete(module: ModuleType) -> None:
    panel = module.widget()
    seen = [list(values.items()) for values in module.PRESETS.values()]
    assert all(seen.count(values) == 1 for values in seen)
    assert all(set(values) == set(panel.controls) for values in module.PRESETS.values())


@WIDGETS
def test_unknown_presets_and_controls_are_refused(module: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"preset = 'nothing' is unknown: choose one of .*"):
        module.widget("nothing")
    with pytest.raises(ValueError, match="colour: no such control: choose from"):
        module.widget(colour=1)


def test_a_preset_can_be_changed_in_the_call() -> None:
    slow = next(iter(replay.PRESETS))
    panel = replay.widget(slow, batch=8)
    assert panel.controls["batch"].value == 8
    assert preset_of(panel).value is None
    assert presets.start(replay.PRESETS, slow, {"batch": 8}) == {
        "walks": 1,
        "buffer": 1000,
        "batch": 8,
        "steps": replay.STEPS,
    }
    assert replay.PRESETS[slow]["batch"] == 16
