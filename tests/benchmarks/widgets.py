"""How long a student waits after moving a control: computing, drawing, and until the new picture is painted."""

import importlib
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from rich.table import Table

from rlcourse.operations.doctor import find_browser
from tests.benchmarks.timing import interleaved, milliseconds, results
from tests.browser.lab import jupyterlab

# Module, a cell that shows its widget, the parameter whose slider to move: with room for `MOVES` to the right.
WIDGETS = (
    ("q_stepper", "q_stepper.widget(sweep=3)", "sweep"),
    ("exploration", "exploration.widget()", "epsilon"),
    ("overestimation", "overestimation.widget('zero noise: bump, degree 9')", "gap"),
    ("deadly_triad", "deadly_triad.widget()", "step"),
    ("replay", "replay.widget()", "batch"),
    ("gradient_variance", "gradient_variance.widget()", "horizon"),
    ("importance_weights", "importance_weights.widget()", "horizon"),
    ("mc_vs_td", "mc_vs_td.widget(n=32, episodes=30)", "episodes"),
    ("batch_td", "batch_td.widget(sweep=10)", "sweep"),
    ("discount", "discount.widget()", "gamma"),
    ("ppo_clip", "ppo_clip.widget(ratio=0.05)", "ratio"),
    ("gae", "gae.widget(gae_lambda=0.0, steps=50)", "gae_lambda"),
    ("seed_lottery", "seed_lottery.widget(draw=1)", "draw"),
    ("live_run", "live_run.widget()", "deadline"),
    ("actor_climb", "actor_climb.widget(steps=0)", "steps"),
    ("target_delay", "target_delay.widget(noise=0.1)", "noise"),
    ("four_goals", "four_goals.widget(x=-10, y=5)", "x"),
    ("squashed_gaussian", "squashed_gaussian.widget(std=0.1)", "std"),
    ("hindsight", "hindsight.widget(k=8, step=1)", "step"),
    ("lap_sampling", "lap_sampling.widget()", "draw"),
    ("embeddings", "embeddings.widget(look=2)", "look"),
    ("checkpoints", "checkpoints.widget(gain=-1000)", "gain"),
    ("diagnosis", "diagnosis.widget(shown=20)", "shown"),
)
MOVES = 15


def tables() -> list[Table]:
    rows = results("Widgets, medians")
    labels = {}
    for module, call, parameter in WIDGETS:
        code = importlib.import_module(f"rlcourse.widgets.{module}")
        panel = eval(call, {module: code})
        values = {name: control.value for name, control in panel.controls.items()}
        slider = panel.controls[parameter]
        labels[module] = slider.description

        def move(slider: Any = slider) -> None:
            slider.value = slider.min if slider.value == slider.max else slider.max

        seconds = interleaved({"compute": partial(code.compute, **values), "redraw": move}, rounds=MOVES)
        milliseconds(rows, f"{module}: compute", seconds["compute"], at_most=60)
        rows.add_row(f"{module}: compute and scene", f"{1000 * seconds['redraw']:.0f} ms", "", "")
    browser = find_browser()
    if browser is None:
        rows.add_row("slider to picture", "no Chromium or Chrome found: not measured", "", "")
        return [rows]
    with TemporaryDirectory() as folder, jupyterlab(Path(folder) / "home", browser) as lab:
        for module, call, _ in WIDGETS:
            with lab.notebook(f"from rlcourse.widgets import {module}\n{call}") as notebook:
                notebook.run()
                notebook.picture.wait_for()
                notebook.unfold()
                notebook.settle()
                milliseconds(
                    rows, f"{module}: key press to picture", median(notebook.latencies(labels[module], MOVES)), 80
                )
    return [rows]
