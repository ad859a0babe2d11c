import io
import re
from collections.abc import Iterator

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image
from playwright.sync_api import ViewportSize, expect

from rlcourse.envs import GRIDS, GridWorld
from rlcourse.widgets import q_stepper
from rlcourse.widgets.still import COLORS
from tests.browser.lab import PANEL, SIZES, Lab, Notebook

pytestmark = pytest.mark.browser

SMALL = GRIDS["small"]


@pytest.fixture(scope="module")
def notebook(lab: Lab) -> Iterator[Notebook]:
    widget = "from rlcourse.widgets import q_stepper\nq_stepper.widget()"
    with lab.notebook(widget, "'the next cell'") as notebook:
        yield notebook


@pytest.fixture
def stepper(notebook: Notebook) -> Notebook:
    notebook.run()
    notebook.expect_picture(described())
    return notebook


def described(
    world: GridWorld = SMALL, gamma: float = 0.9, slip: float = 0.2, sweep: int = 3, cell: tuple[int, int] = (2, 0)
) -> str:
    return q_stepper.describe(q_stepper.compute(world, gamma, slip, sweep, cell))


def test_one_key_is_one_redraw(stepper: Notebook) -> None:
    stepper.settle()  # a slider may report its first value, rounded by the browser
    stepper.count_redraws()
    for label in ("γ", "slip", "sweep", "reward"):
        stepper.slider(label).press("ArrowRight")
        stepper.settle()
    assert stepper.redraws() == 4


def test_play_and_stop(stepper: Notebook) -> None:
    play, stop, _ = stepper.page.locator(".widget-play button").all()
    play.click()
    expect(stepper.picture).to_have_attribute("alt", re.compile(r"after ([5-9]|\d\d) sweeps"))
    alt = stepper.alt()
    assert alt == described(sweep=int(re.findall(r"after (\d+) sweeps", alt)[0]))
    stop.click()
    stepper.expect_picture(described(sweep=0))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size['width']}")
def test_choose_a_cell_by_click(stepper: Notebook, size: ViewportSize) -> None:
    stepper.resize(size)
    panel = q_stepper.widget()
    corners = np.array([panel.data_coordinates(0, 0), panel.data_coordinates(1, 1)])  # of the picture: (column, row)
    for cell in ((0, 0), (1, 2), (2, 3)):
        place = (np.array(cell[::-1]) + 0.3 - corners[0]) / (corners[1] - corners[0])  # not quite the cell's middle
        box = stepper.picture.bounding_box()
        assert box is not None
        x, y = place * (box["width"], box["height"])
        stepper.picture.click(position={"x": x, "y": y})
        stepper.expect_picture(described(cell=cell))
        left, top, right, bottom = marked(stepper)
        assert left < x < right
        assert top < y < bottom


def marked(stepper: Notebook) -> tuple[int, int, int, int]:
    """Where on the screen the chosen cell's frame is, by its colour: left, top, right, bottom."""
    stepper.pixels()  # wait until they are there
    picture = np.asarray(Image.open(io.BytesIO(stepper.picture.screenshot())).convert("RGB"))
    rows, columns = np.nonzero(np.abs(picture - 255 * np.array(to_rgb(COLORS[4]))).max(-1) < 8)
    return columns.min(), rows.min(), columns.max(), rows.max()


def test_choose_a_cell_by_arrow_keys(stepper: Notebook) -> None:
    # Out of the grid at the bottom and on the left: stays. Into the wall: looks at it.
    for key, cell in {"ArrowDown": (2, 0), "ArrowLeft": (2, 0), "ArrowUp": (1, 0), "ArrowRight": (1, 1)}.items():
        stepper.picture.press(key)
        stepper.settle()
        stepper.expect_picture(described(cell=cell))
    expect(stepper.checkbox("wall")).to_be_checked()


def test_edit_a_reward(stepper: Notebook) -> None:
    stepper.slider("reward").press("End")
    stepper.expect_picture(described(SMALL.with_reward(2, 0, 2.0)))
    stepper.slider("reward").press("Home")
    stepper.expect_picture(described(SMALL.with_reward(2, 0, -2.0)))


def test_build_a_wall_and_reset(stepper: Notebook) -> None:
    stepper.dropdown("cell").select_option("row 0, column 2")
    stepper.expect_picture(described(cell=(0, 2)))
    stepper.checkbox("wall").check()
    stepper.expect_picture(described(SMALL.with_cell(0, 2, "#"), cell=(0, 2)))
    stepper.checkbox("wall").uncheck()
    stepper.expect_picture(described(cell=(0, 2)))
    stepper.checkbox("wall").check()
    stepper.expect_picture(described(SMALL.with_cell(0, 2, "#"), cell=(0, 2)))
    stepper.button("Reset world").click()
    stepper.expect_picture(described(cell=(0, 2)))


def test_the_last_goal_cannot_be_walled_off(stepper: Notebook) -> None:
    stepper.dropdown("cell").select_option("row 1, column 3")
    stepper.expect_picture(described(cell=(1, 3)))
    stepper.checkbox("wall").check()
    world = SMALL.with_cell(1, 3, "#")
    stepper.expect_picture(described(world, cell=(1, 3)))
    stepper.dropdown("cell").select_option("row 0, column 3")
    stepper.expect_picture(described(world, cell=(0, 3)))
    pixels = stepper.pixels()
    stepper.checkbox("wall").click()
    expect(stepper.page.get_by_text("no goal: put at least one of")).to_be_visible()
    expect(stepper.checkbox("wall")).not_to_be_checked()
    stepper.settle()
    assert (stepper.alt(), stepper.pixels()) == (described(world, cell=(0, 3)), pixels)
    stepper.slider("sweep").press("End")
    stepper.expect_picture(described(world, sweep=50, cell=(0, 3)))
    expect(stepper.page.get_by_text("no goal: put at least one of")).to_be_hidden()


def test_every_world_from_every_other(stepper: Notebook) -> None:
    for name in [*GRIDS, *list(GRIDS)[::-1]][1:]:
        stepper.dropdown("world").select_option(name)
        stepper.expect_picture(described(GRIDS[name], cell=q_stepper.first_free(GRIDS[name])))


def test_keyboard_alone_reaches_everything_and_leaves_the_notebook_alone(stepper: Notebook) -> None:
    stepper.page.locator(".jp-Cell .jp-InputPrompt").first.click()
    stepper.tab_to("world")
    stepper.page.keyboard.press("ArrowDown")
    four_goal = GRIDS["four-goal"]
    stepper.expect_picture(described(four_goal, cell=(3, 3)))
    stepper.tab_to("slip")
    for key in (*"dd00m", "Enter"):  # to JupyterLab: delete the cell, restart, make it text, edit it
        stepper.page.keyboard.press(key)
    stepper.page.keyboard.press("Home")
    stepper.expect_picture(described(four_goal, slip=0.0, cell=(3, 3)))
    passed = stepper.tab_to("picture")
    assert passed == [
        "readout",
        "sweep",
        "readout",
        "",
        "",
        "",
        "cell",
        "reward",
        "readout",
        "wall",
        "Reset world",
        "picture",
    ]
    stepper.page.keyboard.press("ArrowDown")
    stepper.expect_picture(described(four_goal, slip=0.0, cell=(4, 3)))
    assert stepper.page.evaluate(f"() => [{PANEL}.content.activeCellIndex, {PANEL}.content.mode]") == [0, "command"]
    expect(stepper.page.locator(".jp-CodeCell")).to_have_count(2)
