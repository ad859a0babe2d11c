"""How long a student waits after moving a control: computing, drawing, and until the new picture is painted."""

import importlib
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import ipywidgets
from rich.table import Table

from rlcourse import demos
from rlcourse.operations.doctor import find_browser
from rlcourse.widgets.panel import nearest, places
from tests.benchmarks.timing import milliseconds, results, timed
from tests.browser.lab import jupyterlab

MOVES = 15
SLIDERS = (ipywidgets.IntSlider, ipywidgets.FloatSlider, ipywidgets.SelectionSlider)


def onwards(slider: Any) -> list[Any]:
    """Its values from where it stands to its upper end, and back to its lower one."""
    found = places(slider).tolist()
    here = found.index(nearest(slider, slider.value))
    return found[here + 1 :] + found[-2::-1]


def tables() -> list[Table]:
    rows = results("Widgets, medians: the first slider moves by one step")
    browser = find_browser()
    if browser is None:
        rows.add_row("key press to picture", "no Chromium or Chrome found: not measured", "", "")
        return [rows]
    with TemporaryDirectory() as folder, jupyterlab(Path(folder) / "home", browser) as lab:
        for name in (name for asked in demos.questions().values() for name in asked):
            code = importlib.import_module(f"rlcourse.widgets.{name}")
            panel = code.widget()
            moved, slider = next(found for found in panel.controls.items() if isinstance(found[1], SLIDERS))
            inputs = [panel.values | {moved: value} for value in islice(cycle(onwards(slider)), MOVES)]
            seconds = median(timed(partial(code.compute, **each)) for each in inputs)
            milliseconds(rows, f"{name}: compute", seconds, at_most=60)
            with lab.notebook(f"from rlcourse.widgets import {name}\n{name}.widget()") as notebook:
                notebook.run()
                notebook.picture.wait_for()
                notebook.unfold()
                notebook.settle()
                waited = median(notebook.latencies(slider.description, MOVES))
            milliseconds(rows, f"{name}: key press to picture", waited, at_most=33 if seconds <= 0.010 else 80)
    return [rows]
