import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import ViewportSize, expect

from rlcourse.envs import GRIDS, GridWorld
from rlcourse.widgets import grid, q_stepper
from rlcourse.widgets.scene import COLORS
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
    notebook.unfold()
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
    expect(stepper.picture).to_have_attribute("aria-label", re.compile(r"after ([5-9]|\d\d) sweeps"))
    alt = stepper.alt()
    assert alt == described(sweep=int(re.findall(r"after (\d+) sweeps", alt)[0]))
    stop.click()
    stepper.expect_picture(described(sweep=0))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size['width']}")
def test_choose_a_cell_by_click_and_build_by_dragging(stepper: Notebook, size: ViewportSize) -> None:
    stepper.resize(size)
    for cell in ((0, 0), (1, 2), (2, 3)):
        x, y = place_of(stepper, cell)
        stepper.page.mouse.click(x, y)
        stepper.expect_picture(described(cell=cell))
        frame = stepper.page.locator(f'path.mark[stroke="{COLORS["orange"]}"]').bounding_box()
        assert frame is not None
        assert frame["x"] < x < frame["x"] + frame["width"]
        assert frame["y"] < y < frame["y"] + frame["height"]
    stepper.page.mouse.move(*place_of(stepper, (2, 1)))
    stepper.page.mouse.down()
    stepper.page.mouse.move(*place_of(stepper, (2, 2)), steps=4)
    stepper.expect_picture(described(SMALL.with_cell(2, 2, "#"), cell=(2, 2)))
    stepper.page.mouse.up()


def place_of(stepper: Notebook, cell: tuple[int, int]) -> tuple[float, float]:
    """Where on the screen a cell is, not quite its middle; one that is open has four triangles, in `inside`'s order."""
    number = grid.inside(SMALL)[1].tolist().index([float(cell[1]), float(cell[0])])
    # Both at once: the picture may be drawn anew in between.
    up, right = stepper.page.evaluate(
        """(first) => [first, first + 1].map((i) => {
            const box = document.querySelectorAll("polygon.mark")[i].getBoundingClientRect();
            return [box.x + 0.7 * box.width, box.y + 0.4 * box.height];
        })""",
        4 * number,
    )
    return float(up[0]), float(right[1])


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
    drawn = stepper.picture.inner_html()
    stepper.checkbox("wall").click()
    expect(stepper.page.get_by_text("no goal: put at least one of")).to_be_visible()
    expect(stepper.checkbox("wall")).not_to_be_checked()
    stepper.settle()
    assert (stepper.alt(), stepper.picture.inner_html()) == (described(world, cell=(0, 3)), drawn)
    stepper.slider("sweep").press("End")
    stepper.expect_picture(described(world, sweep=50, cell=(0, 3)))
    expect(stepper.page.get_by_text("no goal: put at least one of")).to_be_hidden()


def test_every_world_from_every_other(stepper: Notebook) -> None:
    for name in [*GRIDS, *list(GRIDS)[::-1]][1:]:
        stepper.dropdown("world").select_option(name)
        stepper.expect_picture(described(GRIDS[name], cell=q_stepper.first_free(GRIDS[name])))


def test_keyboard_alone_reaches_everything_and_leaves_the_notebook_alone(stepper: Notebook) -> None:
    stepper.unfold()
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
    assert passed == ["cell", "reward", "wall", "Reset world", "picture"]
    stepper.page.keyboard.press("ArrowDown")
    stepper.expect_picture(described(four_goal, slip=0.0, cell=(4, 3)))
    assert stepper.page.evaluate(f"() => [{PANEL}.content.activeCellIndex, {PANEL}.content.mode]") == [0, "command"]
    expect(stepper.page.locator(".jp-CodeCell")).to_have_count(2)
