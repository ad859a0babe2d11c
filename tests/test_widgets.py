"""The widgets without a browser: every claim the lecture makes about their pictures, every control's extremes."""

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from matplotlib.text import Annotation
from PIL import Image

from rlcourse.envs import ACTIONS, GRIDS, GridWorld
from rlcourse.widgets import exploration, grid, mc_vs_td, q_stepper
from rlcourse.widgets.panel import Panel, nearest, step
from rlcourse.widgets.still import DPI, Still
from tests.test_presets import preset_of

SMALL = GRIDS["small"]


def greedy(world: GridWorld, gamma: float, slip: float, cell: tuple[int, int]) -> str:
    """The chosen cell's greedy action once the sweeps have settled."""
    return ACTIONS[q_stepper.compute(world, gamma, slip, q_stepper.SWEEPS, cell).best]


# --- what the lecture says about the stepper


def stepped(preset: str) -> q_stepper.Sweep:
    return q_stepper.compute(**q_stepper.PRESETS[preset])


def chosen(preset: str) -> str:
    """The greedy action in the preset's cell."""
    return ACTIONS[stepped(preset).best]


def test_three_sweeps_have_not_reached_the_start() -> None:
    early = stepped("three sweeps: the start knows nothing yet")
    assert (early.q[early.state] == 0).all()
    assert SMALL.cells[early.cell] == "S"
    later = q_stepper.compute(**q_stepper.PRESETS["three sweeps: the start knows nothing yet"] | {"sweep": 5})
    assert later.q[later.state].max() > 0


def test_presets_of_the_small_world() -> None:
    assert chosen("settled: the long way round, far from the pit") == "left"
    assert chosen("γ = 0.5: the short way, past the pit") == "right"
    assert chosen("more slippery: beside the pit, into the wall") == "left"
    paid = stepped("a cell that pays 0.5: better than the goal")
    assert ACTIONS[paid.best] == "up"  # into the edge: stay
    assert paid.q.max() > 4 > paid.world.entry_reward.max()


def test_on_a_slippery_cliff_care_leads_away_from_the_edge() -> None:
    assert chosen("a slippery cliff: away from the edge") == "up"
    values = q_stepper.PRESETS["a slippery cliff: away from the edge"]
    assert ACTIONS[q_stepper.compute(**values | {"slip": 0.0}).best] == "right"  # along it, where nobody slips


def test_discount_is_a_horizon() -> None:
    assert greedy(SMALL, 0.9, 0.2, (2, 1)) == "left"  # the long safe way round the wall
    assert greedy(SMALL, 0.5, 0.2, (2, 1)) == "right"  # the short one past the pit
    assert greedy(SMALL, 0.9, 0.2, (2, 3)) == "left"  # out of the corner below the pit, towards the goal
    assert greedy(SMALL, 0.5, 0.2, (2, 3)) == "down"  # stay where no slip can reach the pit
    same = [cell for cell in np.ndindex(3, 4) if greedy(SMALL, 0.9, 0.2, cell) == greedy(SMALL, 0.5, 0.2, cell)]
    assert set(np.ndindex(3, 4)) - set(same) == {(2, 1), (2, 3)}


def test_beside_the_pit_a_slippery_agent_walks_into_the_wall() -> None:
    assert greedy(SMALL, 0.9, 0.2, (1, 2)) == "up"
    assert greedy(SMALL, 0.9, 0.4, (1, 2)) == "left"
    assert SMALL.walls[1, 1]


def test_a_paying_cell_is_worth_staying_for() -> None:
    paid = SMALL.with_reward(0, 1, 0.5)
    assert greedy(paid, 0.9, 0.0, (0, 1)) == "up"  # into the edge: stay
    best = q_stepper.compute(paid, 0.9, 0.0, q_stepper.SWEEPS, (0, 1)).q.max()
    # 0.5/(1 − 0.9) = 5, less what lies beyond 50 sweeps: 5·0.9⁵⁰ ≈ 0.026.
    assert best == pytest.approx(5 * (1 - 0.9**50), abs=1e-12)
    assert greedy(paid, 0.9, 0.2, (0, 2)) == "left"  # away from the goal next door


def test_without_a_goal_care_is_worth_nothing_and_carelessness_less() -> None:
    data = q_stepper.compute(SMALL.with_cell(0, 3, "#"), 0.9, 0.2, q_stepper.SWEEPS, (2, 0))
    assert (data.q.max(-1) == 0).all()
    assert data.q.min() == pytest.approx(-0.8)


def test_residual_stays_below_the_dashed_line_and_the_picture_shows_it() -> None:
    data = q_stepper.compute(SMALL, 0.9, 0.2, 7, (0, 0))
    k = np.arange(data.residuals.size)
    assert (data.residuals <= data.residuals[0] * 0.9**k + 1e-15).all()
    assert f"{data.residuals[7]:.1e}" in q_stepper.describe(data)


def test_last_backup_is_the_table_entry() -> None:
    data = q_stepper.compute(SMALL, 0.9, 0.2, 4, (0, 1))
    left, result = q_stepper.last_backup(data).split(":")[1].split(" = ")
    assert float(result) == pytest.approx(data.q[1].max(), abs=5e-4)
    # The numbers on the page, rounded to two digits, add up to the result.
    assert eval(left.replace("·", "*")) == pytest.approx(float(result), abs=0.02)
    assert "ends here" in q_stepper.last_backup(replace(data, cell=(0, 3)))


# --- what the lecture says about exploration


def at(preset: str) -> exploration.Exploration:
    return exploration.compute(**exploration.PRESETS[preset])


@pytest.fixture(scope="module")
def outcome() -> exploration.Exploration:
    return at("two goals: only the optimist always finds the far one")


def test_only_the_optimist_finds_the_far_goal(outcome: exploration.Exploration) -> None:
    assert outcome.found[2] == 1
    assert outcome.found[:2].max() < 0.5


def test_more_noise_helps_and_does_not_suffice(outcome: exploration.Exploration) -> None:
    noisy = at("more noise helps, and does not suffice")
    gained = outcome.regret[:2, -1] - noisy.regret[:2, -1]
    assert (gained > 4 * np.sqrt(2) * outcome.regret_error[:2]).all()
    assert (noisy.found[:2] < 1).all()


@pytest.mark.thorough
def test_no_dithering_beats_the_optimists_regret(outcome: exploration.Exploration) -> None:
    for setting in np.linspace(0, 1, 11):
        dithering = exploration.compute("two goals", setting, setting / 2, 1.0)
        # The gap is wider than four standard errors of both.
        assert dithering.regret[:2, -1].min() - outcome.regret[2, -1] > 4 * dithering.regret_error[:2].max()


def test_too_much_optimism_costs(outcome: exploration.Exploration) -> None:
    assert at("too optimistic: it costs").regret[2, -1] > outcome.regret[2, -1] + 1


def test_in_the_small_world_nobody_stands_out() -> None:
    small = at("a small world: nobody stands out")
    assert small.regret[2, -1] == pytest.approx(small.regret[1, -1], abs=4 * small.regret_error[1])
    assert small.found.min() > 0.95


def test_three_greedy_learners_differ_by_chance_only() -> None:
    greedy_three = at("three greedy learners: chance decides")
    spread = np.ptp(greedy_three.regret[:, -1])
    assert spread < 4 * np.sqrt(2) * greedy_three.regret_error.max()


def test_shares_and_regret_are_what_they_claim(outcome: exploration.Exploration) -> None:
    np.testing.assert_allclose(outcome.visits.sum(1), 1)
    assert (np.diff(outcome.regret, axis=1) >= -1e-12).all()
    inner, _ = grid.inside(outcome.world)
    assert (outcome.visits[:, ~inner] == 0).all()
    assert exploration.RUNS >= 200
    text = exploration.describe(outcome)
    for value in outcome.regret[:, -1]:
        assert f"regret {value:.1f}" in text


def test_what_is_seen_grows_step_by_step(outcome: exploration.Exploration) -> None:
    values = exploration.PRESETS["two goals: only the optimist always finds the far one"]
    first, half = (exploration.compute(**{**values, "steps": steps}) for steps in (exploration.EVERY, 150))
    for data in (first, half):
        np.testing.assert_allclose(data.visits.sum(1), 1)
        np.testing.assert_array_equal(data.regret, outcome.regret)  # the curve is always whole
    assert (first.found <= half.found).all()
    assert (half.found <= outcome.found).all()
    # What the first half has added up and the whole's share of it: no cell has been left since.
    assert (half.visits * 150 <= outcome.visits * exploration.STEPS + 1e-9).all()


def test_every_world_offered_is_deterministic_and_starts_in_one_place() -> None:
    for name in exploration.WORLDS:
        mdp = GRIDS[name].mdp()
        assert mdp.probability.shape[-1] == 1
        assert mdp.start.max() == 1


# --- controls


@pytest.mark.thorough
def test_worlds_can_be_changed_edited_and_reset() -> None:
    panel = q_stepper.widget()
    world, wall, reward, reset = (find(panel, name) for name in ("world", "wall", "reward", "Reset world"))
    panel.controls["cell"].value = (0, 0)
    reward.value = 0.5
    assert panel.controls["world"].value.entry_reward[0, 0] == 0.5
    wall.value = True
    assert panel.controls["world"].value.walls[0, 0]
    assert reward.disabled
    # The editors follow the chosen cell, and following changes nothing.
    edited = panel.controls["world"].value
    panel.controls["cell"].value = (0, 3)
    assert (reward.value, wall.value, reward.disabled) == (1.0, False, False)
    assert panel.controls["world"].value is edited
    assert world.value is None  # an edited world has no name
    reset.click()
    assert panel.controls["world"].value is SMALL
    for name in [*GRIDS, *list(GRIDS)[::-1]][1:]:
        world.value = name
        assert panel.controls["world"].value is GRIDS[name]
        assert panel.controls["cell"].value == q_stepper.first_free(GRIDS[name])


@pytest.mark.thorough
def test_reset_goes_back_to_the_world_of_the_preset() -> None:
    panel = q_stepper.widget("a cell that pays 0.5: better than the goal")
    paid = panel.controls["world"].value
    assert find(panel, "world").value is None
    find(panel, "reward").value = 1.5
    find(panel, "wall").value = True
    assert panel.controls["world"].value != paid
    find(panel, "Reset world").click()
    assert panel.controls["world"].value is paid
    assert find(panel, "reward").value == 0.5
    assert preset_of(panel).value == "a cell that pays 0.5: better than the goal"


def test_the_last_goal_cannot_be_walled_off_without_a_word() -> None:
    panel = q_stepper.widget()
    for cell in ((1, 3), (0, 3)):
        panel.controls["cell"].value = cell
        find(panel, "wall").value = True
    assert "no goal" in panel._message.value
    assert not find(panel, "wall").value
    assert panel.controls["world"].value.ends[0, 3]


@pytest.mark.thorough
def test_presses_drags_and_arrow_keys_choose_a_cell_and_build() -> None:
    panel = q_stepper.widget()
    cell = panel.controls["cell"]
    for row, column in [(0, 0), (2, 3), (1, 1)]:
        move(panel, kind="press", x=column + 0.3, y=row - 0.3)
        assert cell.value == (row, column)
    move(panel, kind="press", x=9.0, y=9.0)  # beside the grid
    assert cell.value == (1, 1)
    for key, expected in [
        ("ArrowUp", (0, 1)),
        ("ArrowUp", (0, 1)),
        ("ArrowRight", (0, 2)),
        ("ArrowDown", (1, 2)),
        ("ArrowLeft", (1, 1)),
    ]:
        move(panel, key=key)
        assert cell.value == expected
    move(panel, kind="press", x=0.0, y=2.0)
    move(panel, kind="drag", x=1.0, y=2.0)
    move(panel, kind="drag", x=2.0, y=2.0)
    assert panel.controls["world"].value.walls[2].tolist() == [False, True, True, False]
    move(panel, kind="press", x=1.0, y=1.0)  # a wall: dragging on takes walls away
    move(panel, kind="drag", x=1.0, y=2.0)
    assert not panel.controls["world"].value.walls[2, 1]


def test_a_panel_leaves_a_picture_and_its_numbers_behind() -> None:
    panel = q_stepper.widget()
    data, metadata = panel._repr_mimebundle_()
    assert {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"} <= set(data)
    assert metadata["image/png"]["alt"] == data["text/plain"] == panel.picture.alt
    assert re.search(r"Largest Q \d\.\d{3}", panel.picture.alt)


def test_stills_are_reproducible_and_sharp() -> None:
    world = GRIDS["small"]
    tables = {"V": np.zeros(12), "Q": np.zeros((12, 4)), "π": np.zeros((12, 4), bool)}
    one, two = (grid.panels(world, tables) for _ in range(2))
    assert isinstance(one, Still)
    assert one.png == two.png
    assert Image.open(io.BytesIO(one.png)).width == round(1.5 * one.width)


def test_numbers_in_a_grid_lie_on_nothing_else() -> None:
    """Neither on each other nor on the arrows, and they stay in their cells."""
    q = np.where(np.arange(4) == 1, -0.5, -1.99) * np.ones((12, 1))
    figure = grid.panels(GRIDS["small"], {"Q": q}).figure
    figure.dpi = DPI  # else letters and places are measured at different scales
    (ax,) = figure.axes
    written = [text for text in ax.texts if text.get_text().startswith("-") and "." in text.get_text()]
    boxes = [text.get_window_extent() for text in written]
    assert len(boxes) == 4 * 9
    heads = [
        text.arrow_patch.get_window_extent()
        for text in ax.texts
        if isinstance(text, Annotation) and text.arrow_patch is not None
    ]
    assert len(heads) == 9
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert not any(box.overlaps(head) for box in boxes for head in heads)
    for text, box in zip(written, boxes, strict=True):
        column = np.rint(text.get_position()[0])
        (left, _), (right, _) = ax.transData.transform([(column - 0.5, 0), (column + 0.5, 0)])
        assert left <= box.x0 < box.x1 <= right


def test_a_handle_moves_its_control_and_keeps_to_its_ends() -> None:
    panel = q_stepper.widget()
    sweep = panel.controls["sweep"]
    for x, expected in ((7.4, 7), (7.6, 8), (-3.0, 0), (99.0, 50)):
        move(panel, along_x="sweep", along_y="", x=x, y=0.1)
        assert sweep.value == expected
    move(panel, along_x="sweep", along_y="", key="ArrowRight")
    assert sweep.value == 50
    move(panel, along_x="sweep", along_y="", key="ArrowLeft")
    assert sweep.value == 49
    for key, expected in (("Home", 0), ("Home", 0), ("End", 50)):
        move(panel, along_x="sweep", along_y="", key=key)
        assert sweep.value == expected
    move(panel, key="End")  # of a cell there is none
    odd = mc_vs_td.widget().controls["n"]
    assert (nearest(odd, 900.0), step(odd, 1), step(odd, -1)) == (mc_vs_td.INFINITE, 3, 1)


def find(panel: Panel, description: str) -> Any:
    return next(child for child in parts(panel) if getattr(child, "description", None) == description)


def parts(box: Any) -> Iterator[Any]:
    """All that stands in a box and in the boxes in it."""
    for child in box.children:
        yield child
        if hasattr(child, "children"):
            yield from parts(child)


def move(panel: Panel, **moved: Any) -> None:
    """As the browser reports it; the count tells two equal reports apart."""
    panel.picture.moved = {"count": panel.picture.moved.get("count", 0) + 1, **moved}
