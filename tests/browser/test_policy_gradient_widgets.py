"""Lecture 03's two widgets: every slider to both ends, presets, what fits where."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from playwright.sync_api import ViewportSize

from rlcourse.widgets import gradient_variance, importance_weights
from tests.browser.lab import SIZES, Lab, Notebook

pytestmark = pytest.mark.browser
SLIDERS = {
    gradient_variance: {"horizon T": "horizon", "reward +": "offset"},
    importance_weights: {"drift": "drift", "horizon T": "horizon"},
}


@pytest.fixture(scope="module", params=SLIDERS, ids=lambda module: module.__name__.rpartition(".")[2])
def opened(request: pytest.FixtureRequest, lab: Lab) -> Iterator[tuple[ModuleType, Notebook]]:
    name = request.param.__name__.rpartition(".")[2]
    with lab.notebook(f"from rlcourse.widgets import {name}\n{name}.widget()") as notebook:
        yield request.param, notebook


@pytest.fixture
def shown(opened: tuple[Any, Notebook]) -> tuple[Any, Notebook]:
    module, notebook = opened
    notebook.run()
    notebook.expect_picture(described(module))
    return module, notebook


def described(module: Any, preset: str | None = None, **changes: Any) -> str:
    values = module.PRESETS[preset or next(iter(module.PRESETS))] | changes
    return str(module.describe(module.compute(**values)))


def test_sliders(shown: tuple[Any, Notebook]) -> None:
    module, notebook = shown
    changes: dict[str, Any] = {}
    for label, parameter in SLIDERS[module].items():
        whole = isinstance(next(iter(module.PRESETS.values()))[parameter], int)
        for key in ("Home", "End", "ArrowLeft"):
            notebook.slider(label).press(key)
            value = notebook.readout(label)
            changes[parameter] = int(value) if whole else value
            notebook.expect_picture(described(module, **changes))


def test_presets(shown: tuple[Any, Notebook]) -> None:
    module, notebook = shown
    for name in [*module.PRESETS][1:]:
        before = notebook.alt()
        notebook.dropdown("preset").select_option(name)
        notebook.expect_picture(described(module, name))
        assert notebook.alt() != before


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size['width']}")
def test_no_blemishes(shown: tuple[Any, Notebook], size: ViewportSize) -> None:
    _, notebook = shown
    notebook.resize(size)
    assert notebook.blemishes() == []


def test_causality_and_baseline(lab: Lab) -> None:
    with lab.notebook("from rlcourse.widgets import gradient_variance\ngradient_variance.widget()") as notebook:
        notebook.run()
        notebook.expect_picture(described(gradient_variance))
        notebook.page.get_by_role("checkbox").click()
        notebook.expect_picture(described(gradient_variance, causality=True))
        notebook.dropdown("baseline").select_option("leave one out")
        notebook.expect_picture(described(gradient_variance, causality=True, baseline="leave one out"))
