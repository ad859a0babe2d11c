"""Every widget that has presets, without a browser: its controls through their extremes, its presets as controls."""

import io
import re
from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

import ipywidgets
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
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


def extremes(control: Any, presets: Mapping[str, Mapping[str, Any]], name: str) -> list[Any]:
    """The values to try; of a control without a face, which other code moves, those of the presets."""
    if not isinstance(control, ipywidgets.Widget):
        return [values[name] for values in presets.values()]
    if hasattr(control, "options"):
        return [option[1] if isinstance(option, tuple) else option for option in control.options]
    if not hasattr(control, "min"):
        return [False, True]
    middle = (control.min + control.max) / 2 if isinstance(control.min, float) else (control.min + control.max) // 2
    return [control.min, middle, control.max]


def preset_of(panel: Any) -> Any:
    boxes = [child for box in panel.children for child in getattr(box, "children", ())]
    return next(child for child in boxes if getattr(child, "description", None) == "preset")


@pytest.mark.parametrize(("module", "preset"), STARTS)
def test_every_control_through_its_extremes(module: ModuleType, preset: str) -> None:
    panel = module.widget(preset)
    for name, control in panel.controls.items():
        before = {key: each.value for key, each in panel.controls.items()}
        for value in extremes(control, module.PRESETS, name):
            control.value = value
            values = {key: each.value for key, each in panel.controls.items()}
            assert values[name] == value
            assert panel._message.value == ""
            assert panel.picture.alt == module.describe(module.compute(**values))
        with panel.one_redraw():
            for key, old in before.items():
                panel.controls[key].value = old


@WIDGETS
def test_presets_move_all_controls_and_step_aside(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = module.widget()
    dropdown = preset_of(panel)
    assert dropdown.value == next(iter(module.PRESETS))
    computed: list[dict[str, Any]] = []

    def compute(**values: Any) -> Any:
        computed.append(values)
        return module.compute(**values)

    monkeypatch.setattr(panel, "_compute", compute)
    for name, values in reversed(module.PRESETS.items()):
        computed.clear()
        dropdown.value = name
        assert computed == [values]  # one redraw, not one per control
        assert {key: control.value for key, control in panel.controls.items()} == values
        assert panel.picture.alt == module.describe(module.compute(**values))
        assert dropdown.value == name
    key, slider = next((key, control) for key, control in panel.controls.items() if hasattr(control, "max"))
    taken = [values[key] for values in module.PRESETS.values()]
    slider.value = next(
        value for value in (slider.max, slider.max - slider.step, slider.max - 2 * slider.step) if value not in taken
    )
    assert dropdown.value is None
    dropdown.value = name
    assert {key: control.value for key, control in panel.controls.items()} == module.PRESETS[name]


# In front of a room at 1280 × 720, where a widget of 13 inches fills the width: 14 pixels.
SMALLEST = 14 / (1280 / 1320) * 72 / 96
EXEMPT = re.compile(r"-?\d?\.\d\d")  # four action values in one cell of a large grid


@WIDGETS
def test_the_last_row_can_read_it(module: ModuleType) -> None:
    """Letters of 14 pixels; contrast of 4.5 to 1, for bold ones 3 to 1 (WCAG 2.2, 1.4.3)."""
    for preset in module.PRESETS:
        still = module.widget(preset)._still
        pixels = np.asarray(Image.open(io.BytesIO(still.png)).convert("RGB")) / 255
        canvas = FigureCanvasAgg(still.figure)
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
            found, count = np.unique(pixels[top:bottom, left:right].reshape(-1, 3), axis=0, return_counts=True)
            if not len(found):
                continue
            ink = np.array(to_rgb(text.get_color()))
            count[np.abs(found - ink).max(1) < 0.02] = 0  # the letters themselves
            light, dark = sorted((luminance(found[count.argmax()]), luminance(ink)), reverse=True)
            contrast = (light + 0.05) / (dark + 0.05)
            assert contrast >= (3 if text.get_fontweight() == "bold" else 4.5), (preset, text.get_text(), contrast)
            assert text.get_fontsize() >= SMALLEST, (preset, text.get_text())


def test_a_rounding_error_from_the_browser_is_no_change() -> None:
    panel = deadly_triad.widget()
    panel.controls["gamma"].value = 0.9000000000000001
    assert preset_of(panel).value == "all three: it grows"


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
    assert presets.start(replay.PRESETS, slow, {"batch": 8}) == {"walks": 1, "buffer": 1000, "batch": 8}
    assert replay.PRESETS[slow]["batch"] == 16
