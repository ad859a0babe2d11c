"""What all pictures share: axes around numbers, sliders on the picture, colours by day and night, order on paper."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from rlcourse.widgets.grid import luminance
from rlcourse.widgets.scene import (
    COLORS,
    DIGITS,
    LETTERS,
    NIGHT,
    Axis,
    Scene,
    View,
    around,
    bars,
    handle,
    highlight,
    line,
    patches,
    payload,
    text,
    track,
    up_to,
)
from rlcourse.widgets.still import apart, draw_view

DAY_PAPER, NIGHT_PAPER = "#FFFFFF", "#111111"  # of JupyterLab's two themes, `--jp-layout-color0`


def test_the_browser_gets_the_digits_that_a_picture_shows() -> None:
    """All numbers at once, by powers of ten, are the same as one after the other by Python's formatting."""
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=2_000) * 10 ** rng.uniform(-12, 12, 2_000)
    values = np.concatenate([numbers, [0, 9_999.96, -0.001, 1e300, np.nan, np.inf]])
    (mark,) = payload(Scene("", [View(Axis(0, 1), Axis(0, 1), [text(values, values, ["word"] * len(values))])]))[
        "main"
    ][0]["marks"]
    assert mark["x"] == [float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None for value in values.tolist()]


def contrast(one: str, other: str) -> float:
    """As WCAG 2.2 defines it."""
    light, dark = sorted((luminance(np.array(to_rgb(each))) for each in (one, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("name", sorted(LETTERS.keys() - {"faint"}))  # that one is for grid lines and what is not there
def test_letters_can_be_read_by_day_and_by_night(name: str) -> None:
    assert contrast(LETTERS[name], DAY_PAPER) >= 4.5
    assert contrast(NIGHT[name], NIGHT_PAPER) >= 4.5


def test_lines_can_be_seen_by_day_and_by_night() -> None:
    assert COLORS.keys() == LETTERS.keys() == NIGHT.keys()
    for name in COLORS.keys() - {"faint", "sky", "orange"}:  # these fill, or have an edge or a dark neighbour
        assert contrast(COLORS[name], DAY_PAPER) >= 3, name


def test_an_axis_around_numbers_has_room_at_both_ends() -> None:
    assert around([1.0, np.nan, 3.0], 2, label="value", room=0.5) == Axis(0.0, 4.0, "value")
    assert around([7.0], room=0.1) == Axis(6.9, 7.1)  # all alike
    assert up_to([1.0, np.nan], [4.0], label="error", room=0.25) == Axis(0, 5.0, "error")
    assert up_to([0.0, -2.0]) == Axis(0, 1.0)


def test_a_track_is_a_slider_over_values_at_equal_distances() -> None:
    rail, held = track((0.0, 3.0), 0.5, "n", "number", [1, 2, 4, 1000], 4)
    assert (rail["kind"], held["kind"]) == ("line", "handle")
    assert (held["x"], held["y"], held["along_x"], held["along_y"]) == (2.0, 0.5, "n", "")
    assert held["stops"] == [(0.0, 1.0), (1.0, 2.0), (2.0, 4.0), (3.0, 1000.0)]


def test_one_of_several_stands_out() -> None:
    assert highlight(3, 1, "green") == ["grey", "green", "grey"]


def test_on_paper_marks_lie_in_the_scenes_order() -> None:
    """Left to itself, matplotlib draws lines over patches, and text over both."""
    square = np.array([[(0, 0), (1, 0), (1, 1), (0, 1)]])
    marks = [
        line([0, 1], [0, 1]),
        text([0], [0], ["below"]),
        bars([0], [0], [1], "blue"),
        patches(square, ["red"]),
        handle(0, 0, "on top"),
    ]
    ax = Figure().add_axes((0, 0, 1, 1))
    draw_view(ax, View(Axis(0, 1), Axis(0, 1), marks))
    (drawn,), (bar, patch), (held,) = ax.lines, ax.patches, ax.collections
    (words,) = (each for each in ax.texts if each.get_text() == "below")
    order = [each.get_zorder() for each in (drawn, words, bar, patch, held)]
    assert order == sorted(order)
    assert len(set(order)) == len(order)


def test_labels_that_would_lie_on_each_other_make_way_to_both_sides() -> None:
    assert apart([0.1, 0.9], 0.1, 0.0) == pytest.approx([0.1, 0.9])
    assert apart([0.1, 0.5, 0.5, 0.5], 0.1, 0.0) == pytest.approx([0.1, 0.4, 0.5, 0.6])
    assert apart([0.0, 0.02], 0.1, 0.05) == pytest.approx([0.05, 0.15])
    assert apart([1.0, 1.0], 0.1, 0.0) == pytest.approx([0.9, 1.0])


def test_on_paper_an_axis_without_ticks_has_no_line() -> None:
    ax = Figure().add_axes((0, 0, 1, 1))
    draw_view(ax, View(Axis(0, 1, ticks={}), Axis(0, 1), []))
    assert not ax.spines["bottom"].get_visible()
    assert ax.spines["left"].get_visible()
