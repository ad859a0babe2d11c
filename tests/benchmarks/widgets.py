"""How long a student waits after moving a control: computing, drawing, and until the new picture is painted."""

import importlib
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import ipywidgets
from rich.table import Table

from rlcourse import demos
from rlcourse.operations.doctor import find_browser
from tests.benchmarks.timing import interleaved, milliseconds, results
from tests.browser.lab import jupyterlab

MOVES = 15
SLIDERS = (ipywidgets.IntSlider, ipywidgets.FloatSlider, ipywidgets.SelectionSlider)


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
            seconds = interleaved({"compute": partial(code.compute, **panel.values)}, rounds=MOVES)["compute"]
            milliseconds(rows, f"{name}: compute", seconds, at_most=60)
            slider = next(control for control in panel.controls.values() if isinstance(control, SLIDERS))
            with lab.notebook(f"from rlcourse.widgets import {name}\n{name}.widget()") as notebook:
                notebook.run()
                notebook.picture.wait_for()
                notebook.unfold()
                notebook.settle()
                waited = median(notebook.latencies(slider.description, MOVES))
            milliseconds(rows, f"{name}: key press to picture", waited, at_most=33 if seconds <= 0.010 else 80)
    return [rows]
