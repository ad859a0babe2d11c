from collections.abc import Iterator

import pytest
from playwright.sync_api import ViewportSize

from rlcourse.widgets import exploration
from tests.browser.lab import SIZES, Lab, Notebook

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def notebook(lab: Lab) -> Iterator[Notebook]:
    with lab.notebook("from rlcourse.widgets import exploration\nexploration.widget()") as notebook:
        yield notebook


@pytest.fixture
def explorer(notebook: Notebook) -> Notebook:
    notebook.run()
    notebook.expect_picture(described())
    return notebook


def described(
    world: str = "two goals", epsilon: float = 0.1, temperature: float = 0.05, initial_value: float = 1.0
) -> str:
    return exploration.describe(exploration.compute(world, epsilon, temperature, initial_value))


@pytest.mark.parametrize(
    ("label", "parameter", "high"),
    [("ε", "epsilon", 1), ("temperature T", "temperature", 0.5), ("optimistic Q₀", "initial_value", 3)],
)
def test_sliders(explorer: Notebook, label: str, parameter: str, high: float) -> None:
    values = []
    for key in ("End", "PageDown", "Home"):
        pixels = explorer.pixels()
        explorer.slider(label).press(key)
        values.append(explorer.readout(label))
        explorer.expect_picture(described(**{parameter: values[-1]}))  # type: ignore[arg-type]
        assert explorer.pixels() != pixels
    assert values[0] == high > values[1] > values[2] == 0


def test_every_world(explorer: Notebook) -> None:
    for name in [*exploration.WORLDS, exploration.WORLDS[0]][1:]:
        pixels = explorer.pixels()
        explorer.dropdown("world").select_option(name)
        explorer.expect_picture(described(name))
        assert explorer.pixels() != pixels


def test_one_key_is_one_redraw(explorer: Notebook) -> None:
    explorer.settle()
    explorer.count_redraws()
    for label in ("ε", "temperature T", "optimistic Q₀"):
        explorer.slider(label).press("ArrowRight")
        explorer.settle()
    assert explorer.redraws() == 3


def test_keyboard_alone_reaches_everything(explorer: Notebook) -> None:
    explorer.page.locator(".jp-Cell .jp-InputPrompt").first.click()
    explorer.tab_to("world")
    explorer.page.keyboard.press("ArrowDown")
    explorer.expect_picture(described("small"))
    assert explorer.tab_to("picture") == [
        *("ε", "readout", "temperature T", "readout", "optimistic Q₀", "readout", "picture")
    ]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size['width']}")
def test_no_blemishes(explorer: Notebook, size: ViewportSize) -> None:
    explorer.resize(size)
    assert explorer.blemishes() == []
