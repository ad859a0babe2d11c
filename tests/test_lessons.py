"""What the notebooks call: shown code is the code, predictions survive, training can be stopped."""

import base64
import copy
import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium as gym
import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from IPython.display import Markdown, display
from nbformat.v4 import new_code_cell, new_notebook, new_output

from rlcourse import curves, envs, lessons, pictures
from rlcourse.algorithms import ddpg
from rlcourse.algorithms import q_iteration as qi
from rlcourse.envs import GRIDS, TabularEnv
from rlcourse.goals_reached import Arrivals
from rlcourse.loop import evaluated, train
from rlcourse.operations.publish import normalise
from rlcourse.two_ways import TwoWays, left_of
from rlcourse.widgets.still import DPI, Still
from tests.screen import Screen


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# --- show


def test_show_gives_the_source_that_runs_with_its_maths_above() -> None:
    page = lessons.show(qi.q_iteration).data
    maths, source = page.split("```python\n")
    assert r"\sum_{s'} P(s' \mid s, a)" in maths
    assert "q = backup(model, q.max(-1), gamma)" in source
    assert '"""' not in source
    assert source.endswith("<sub>rlcourse/algorithms/q_iteration.py</sub>")


def test_shown_source_still_compiles_and_is_what_the_module_holds() -> None:
    for code in (qi.backup, qi.policy_iteration, qi.QLearning.update, qi.QLearning):
        shown = lessons.show(code).data.split("```python\n")[1].split("\n```")[0]
        compile(shown, "shown", "exec")
        for line in shown.splitlines():
            assert line.strip() in Path(inspect.getfile(inspect.unwrap(code))).read_text(encoding="utf-8")


def test_show_several() -> None:
    page = lessons.show(qi.backup, qi.q_iteration).data
    assert page.index("def backup") < page.index("---") < page.index("def q_iteration")


# --- show_diff


def first(a: int) -> int:
    """Docstrings are left out."""
    same = a
    same += 1
    same += 2
    same += 3
    same += 4
    return same if a < 1 else -same


def second(a: int) -> int:
    """However much they differ."""
    same = a
    same += 1
    same += 2
    same += 3
    same += 4
    return same


def test_diff_shows_only_what_changed_and_two_lines_around() -> None:
    diff = lessons.show_diff(first, second)
    html, text = diff._repr_html_(), repr(diff)
    assert "Docstrings" not in html + text
    assert "−     return same if a &lt; 1 else -same" in html
    assert "+     return same<" in html
    assert html.count("<tr>") == 1 + 3 + 1 + 3  # names; the signature and two lines; a gap; two lines and the return
    assert "-    return same if a < 1 else -same\n+    return same" in text
    assert "same += 1" in html
    assert lessons.show_diff(first, first)._repr_html_().count("<tr>") == 1


def test_diff_of_unequal_heights_fills_up_with_nothing() -> None:
    html = lessons.show_diff(first, qi.policy_iteration)._repr_html_()
    assert html.count("<td") % 2 == 0
    assert ">  </td>" in html


def test_a_diff_does_not_show_what_a_workshop_asks_for() -> None:
    html = lessons.show_diff(qi.evaluation_sweeps, qi.value_iteration)._repr_html_()
    assert html.startswith("<details><summary>Write it yourself first: workshop 1, step 2</summary>")
    assert html.index("<table") > html.index("</summary>")
    assert lessons.show_diff(qi.value_iteration, qi.evaluation_sweeps)._repr_html_().startswith("<details")
    assert lessons.show_diff(qi.evaluation_sweeps, qi.evaluation_sweeps)._repr_html_().startswith("<table")


# --- predict


def commit(prediction: lessons.Prediction, choice: str) -> None:
    prediction._choice._handle_custom_msg({"choice": choice}, [])  # as the browser's click arrives


def texts(screen: Screen) -> list[str]:
    """What stands there now, without what only buttons say."""
    return [data["text/html"] if "text/html" in data else data["text/markdown"] for data, _ in screen.now().values()]


def test_a_prediction_is_kept_locked_and_compared(screen: Screen) -> None:
    prediction = lessons.predict("q1", "Which?", ["a", "b"])
    display(prediction, prediction.reveal("a", "why"))
    question, buttons, answer = screen.now().values()
    assert question[0]["text/markdown"] == "**Predict:** Which?\n\n- **A:** a\n- **B:** b"
    assert "application/vnd.jupyter.widget-view+json" in buttons[0]
    assert "Predict first" in answer[0]["text/html"]

    commit(prediction, "b")
    assert json.loads(Path("predictions.json").read_text()) == {"q1": "b"}
    assert texts(screen)[1:] == ["Committed: **B: b**", "**A: a** (✘ you predicted “B: b”). why"]

    # The notebook run again, another day: still there, and so is the next one.
    again = lessons.predict("q1", "Which?", ["a", "b"])
    screen.clear()
    display(again, again.reveal("b", "why"))
    assert texts(screen)[1:] == ["Committed: **B: b**", "**B: b** (✔ as you predicted). why"]
    commit(lessons.predict("q2", "And?", ["x", "y"]), "x")
    assert json.loads(Path("predictions.json").read_text()) == {"q1": "b", "q2": "x"}


def test_an_answer_waits_for_a_commit_however_often_either_cell_was_run(screen: Screen) -> None:
    for _ in range(2):
        display(lessons.predict("q", "Which?", ["a", "b"]).reveal("a", "why"))
    commit(lessons.predict("other", "Which?", ["a", "b"]), "a")
    assert all("Predict first" in text for text in texts(screen))
    commit(lessons.predict("q", "Which?", ["a", "b"]), "a")
    assert texts(screen) == ["**A: a** (✔ as you predicted). why"] * 2


def test_the_answer_is_folded_for_those_who_cannot_commit_and_hidden_from_those_who_can(screen: Screen) -> None:
    display(lessons.predict("q", "Which?", ["alpha", "beta"]).reveal("beta", "because of gamma"))
    ((data, metadata),) = screen.now().values()
    assert "beta" not in data["text/html"]
    assert "gamma" not in data["text/html"]
    folded = "<details><summary>Open after you have predicted</summary>\n\n**B: beta.** because of gamma\n\n</details>"
    assert data["text/markdown"] == folded
    assert metadata["text/markdown"] == {"answer": "**B: beta.** because of gamma"}


def test_what_cannot_be_stored_is_not_committed(screen: Screen) -> None:
    prediction = lessons.predict("q", "Which?", ["a", "b"])
    display(prediction.reveal("a", "why"))
    said: list[str] = []
    prediction._choice.observe(lambda change: said.append(change["new"]), "problem")
    Path("predictions.json").mkdir()
    for _ in range(2):
        commit(prediction, "a")
    assert prediction.committed is None
    assert [text[:12] for text in said if text] == ["not stored: "] * 2
    assert "Predict first" in texts(screen)[0]
    Path("predictions.json").rmdir()
    commit(prediction, "a")
    assert prediction.committed == "a"


def test_a_choice_that_is_no_longer_offered_is_asked_again() -> None:
    Path("predictions.json").write_text('{"q": "old"}')
    assert lessons.predict("q", "Which?", ["a", "b"]).committed is None


@pytest.mark.parametrize("content", ["{broken", "[1, 2]", ""])
def test_an_unreadable_file_loses_nothing(content: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("predictions.json").write_text(content)
    commit(lessons.predict("q", "Which?", ["a", "b"]), "a")
    kept = [path for path in Path().glob("predictions-unreadable-*.json") if path.read_text() == content]
    assert len(kept) == 1
    assert kept[0].name in capsys.readouterr().out
    assert json.loads(Path("predictions.json").read_text()) == {"q": "a"}


@pytest.mark.parametrize("choices", [[], ["a"], ["a", "a"], ["a", "b", "a"], list("abcdefghi")])
def test_questions_without_a_choice_are_refused(choices: list[str]) -> None:
    with pytest.raises(ValueError, match="give two to 8, all different"):
        lessons.predict("q", "Which?", choices)


def test_an_answer_outside_the_choices_is_the_authors_mistake() -> None:
    with pytest.raises(ValueError, match="answer = 'c' is none of the choices"):
        lessons.predict("q", "Which?", ["a", "b"]).reveal("c", "")
    unknown = lessons.predict("q", "Which?", ["a", "b"]).reveal(None, "")
    assert isinstance(unknown, Markdown)
    assert "There is no answer yet" in unknown.data


# --- training in front of a reader


def loop(steps: int) -> Iterator[dict[str, float]]:
    return train(TabularEnv(GRIDS["small"].mdp()), qi.QLearning(12, 4, qi.Config(), seed=0), steps, seed=0)


def test_watch_returns_every_episode(capsys: pytest.CaptureFixture[str]) -> None:
    expected = [(m["step"], m["episode_return"]) for m in loop(500) if "episode_return" in m]
    np.testing.assert_array_equal(lessons.watch(loop(500), 500, goal=1).episodes, expected)
    assert len(expected) > 10
    assert f"Return of {len(expected)} episodes" in capsys.readouterr().out


def test_watch_without_a_finished_episode() -> None:
    assert lessons.watch(loop(1), 1).episodes.shape == (0, 2)


def test_watch_can_be_stopped_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> Iterator[dict[str, float]]:
        for metrics in loop(500):
            yield metrics
            if metrics["step"] == 200:
                raise KeyboardInterrupt

    history = lessons.watch(interrupted(), 500).episodes
    assert len(history) > 0
    assert history[-1, 0] <= 200
    assert "Stopped by hand after 200 steps" in capsys.readouterr().out


def test_verdict_says_both(capsys: pytest.CaptureFixture[str]) -> None:
    lessons.verdict("mean return", 7.0, at_least=7)
    lessons.verdict("mean return", 6.9, at_least=7)
    good, bad = capsys.readouterr().out.splitlines()
    assert good.startswith("✔")
    assert bad.startswith("✘")
    assert "6.9" in bad


def test_a_verdict_on_a_training_cut_short_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RLCOURSE_BUDGET", "test")
    lessons.verdict("mean return", 7.0, at_least=7)
    lessons.verdict("mean return", 6.9, at_least=7)
    good, bad = capsys.readouterr().out.splitlines()
    assert good.startswith("✔")
    assert bad == "○ mean return: 6.9. RLCOURSE_BUDGET=test: too short a training for the 7 wanted."


def test_a_menu_keeps_what_was_chosen_when_its_cell_is_run_again(screen: Screen) -> None:
    assert lessons.choose("bits n", (10, 13)) == 10
    (menu,) = lessons._menus.values()
    menu.index = 1
    assert lessons.choose("bits n", (10, 13)) == 13
    assert lessons.choose("copies k", (4, 1)) == 4
    with pytest.raises(ValueError, match=r"options = \[3\]"):
        lessons.choose("alone", (3,))


def test_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lessons.budget(quick=1, full=2) == 1
    monkeypatch.setenv("RLCOURSE_BUDGET", "full")
    assert lessons.budget(quick=1, full=2) == 2
    assert lessons.budget(quick=1) == 1
    monkeypatch.setenv("RLCOURSE_BUDGET", "test")
    assert [lessons.budget(quick=quick, full=50_000) for quick in (20_000, 10, 5)] == [2_000, 1, 1]
    monkeypatch.setenv("RLCOURSE_BUDGET", "fast")
    with pytest.raises(ValueError, match="'fast' is unknown: set it to quick or full"):
        lessons.budget(quick=1, full=2)


def test_curves_state_their_ends() -> None:
    picture = lessons.curves({"a": np.array([[1.0, 2.0], [3.0, 6.0]])}, np.arange(2), "step", "error", log=True)
    assert picture.alt == "error over step, mean and range over seeds. a ends at 4, 2 seeds."
    exact = lessons.curves({"a": np.array([[1.0, 2.0]]), "b": np.array([[1.0, 3.0]])}, np.arange(2), "share", "gain")
    assert exact.alt == "gain over share. a ends at 2; b ends at 3."
    share = lessons.curves({"a": np.array([[0.0, 0.05]])}, np.arange(2), "step", "share", ylim=(0, 1))
    assert share.figure.axes[0].get_ylim() == (0, 1)


def test_of_noise_the_last_value_is_not_stated() -> None:
    picture = lessons.curves({"a": np.array([[1.0, -3.0, 2.0]])}, np.arange(3), "step", "noise", ends=False)
    assert picture.alt == "noise over step. a lies between -3 and 2."
    (ax,) = picture.figure.axes
    assert ax.get_legend_handles_labels()[1] == ["a"]
    legend = ax.get_legend()
    assert legend is not None
    assert not legend.get_title().get_text()


def test_a_legend_lies_on_no_curve() -> None:
    two = np.array([[0.0, 1.0]])
    recorded = curves.reference("06_pendulum_td3")
    for picture in (
        lessons.curves({"plain, minus wrong bits": two, "b": two}, np.arange(2), "step", "gain"),
        pictures.learning_curve([(1, 5.0), (2, 9.0)], steps=2, goal=3, window=2),
        lessons.bias({"copy every 500": recorded, "TD3": recorded}),
        lessons.efficiency({"TD3": recorded}, "Pendulum-v1"),
    ):
        picture.figure.dpi = DPI  # else letters and places are measured at different scales
        width, height = picture.figure.bbox.size
        (legend,) = (legend for ax in picture.figure.axes if (legend := ax.get_legend()))
        box = legend.get_window_extent()
        assert all(not box.overlaps(ax.bbox) for ax in picture.figure.axes)
        assert box.x1 <= width
        assert box.y0 >= 0
        assert box.y1 <= height


def test_every_seed_is_a_line_on_equal_axes() -> None:
    few, many = (
        curves.Curve(np.arange(3), np.array(rows)) for rows in ([[1.0, 2, 3], [1, 1, 2]], [[0.0, 5, 4], [0, 9, -6]])
    )
    picture = lessons.plot_each_seed({"few": few, "many": many}, "return")
    assert picture.alt == (
        "return, every seed for itself. few: 2 seeds end between 2 and 3; many: 2 seeds end between -6 and 4."
    )
    left, right = picture.figure.axes
    assert [np.asarray(line.get_ydata()).tolist() for line in right.lines] == [[0, 5, 4], [0, 9, -6]]
    assert left.get_ylim() == right.get_ylim()
    assert left.get_ylim()[0] <= -6 < 9 <= left.get_ylim()[1]


def test_estimates_are_drawn_from_the_top_down_and_stated() -> None:
    rows = {"all": curves.Estimate(1, 0.83, 1), "none": curves.Estimate(0.2, 0.03, 0.56)}
    picture = lessons.estimates(rows, "share that succeeds", mark=1)
    assert picture.alt == ("share that succeeds, with 95 % intervals. all: 1 (0.83 to 1); none: 0.2 (0.03 to 0.56).")
    (ax,) = picture.figure.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["all", "none"]
    assert ax.yaxis_inverted()
    mark, all_interval, all_point, *_ = (np.asarray(line.get_xdata()).tolist() for line in ax.lines)
    assert (mark, all_interval, all_point) == ([1, 1], [0.83, 1], [1])
    assert [text.get_text() for text in ax.texts] == [str(estimate) for estimate in rows.values()]


def test_arrivals_are_bars_of_goals_one_for_each_seed() -> None:
    counts = np.array([[100, 60, 0, 40], [0, 0, 200, 0]]), np.array([[0, 60, 0, 40], [0, 0, 0, 0]])
    picture = lessons.plot_arrivals({"it": Arrivals(*counts)})
    assert picture.alt == (
        "Walks that end in each goal, of 200 for each seed, means. it: 100 % arrive without the wall, with it 25 %, "
        "and 2.0 goals are in use."
    )
    above, below = picture.figure.axes
    for ax, ends in ((above, [[50, 0], [80, 0], [80, 100], [100, 100]]), (below, [[0, 0], [30, 0], [30, 0], [50, 0]])):
        assert [[bar.get_y() + bar.get_height() for bar in goal] for goal in ax.containers] == ends
    (legend,) = picture.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["east", "north", "west", "south"]


def test_bias_over_training_is_believed_less_true() -> None:
    """At the end +2 and +4 for the two seeds of one: 3 ± t · 1 with Student's t = 12.706; −1 for both of the other."""
    step = np.array([10, 20])
    believed = np.array([[1.0, 5.0], [2.0, 8.0]])
    agents = {
        "high": curves.Curve(step, np.zeros((2, 2)), believed, np.array([[1.0, 3.0], [2.0, 4.0]])),
        "low": curves.Curve(step, np.zeros((2, 2)), believed, believed + 1),
    }
    picture = lessons.bias(agents)
    assert "high 3 (-9.71 to 15.7) over 2 seeds; low -1 (-1 to -1) over 2 seeds" in picture.alt
    values, difference = picture.figure.axes
    high_believed, high_true, *_ = values.lines
    np.testing.assert_array_equal(high_believed.get_ydata(), [1.5, 6.5])
    np.testing.assert_array_equal(high_true.get_ydata(), [1.5, 3.5])
    assert (high_believed.get_linestyle(), high_true.get_linestyle()) == ("-", "--")
    zero, high, low = (np.asarray(line.get_ydata()).tolist() for line in difference.lines)
    assert (zero, high, low) == ([0, 0], [0, 3], [-1, -1])
    band = np.asarray(difference.collections[0].get_paths()[0].vertices)[:, 1]
    assert (band.min(), band.max()) == pytest.approx((-9.706, 15.706), abs=1e-3)  # at the end; at first both have 0
    assert difference.get_legend_handles_labels()[1] == ["high\n3 (-9.71 to 15.7)", "low\n-1 (-1 to -1)"]
    offline = {name: replace(curve, unit="update") for name, curve in agents.items()}
    for counted, shown in (("environment step", picture), ("update", lessons.bias(offline))):
        assert [panel.get_xlabel() for panel in shown.figure.axes] == [counted] * 2
    recorded = curves.reference("10_pendulum_iql")
    run = pictures.History(np.zeros((0, 2)), np.stack([recorded.step, recorded.returns[0]], -1))
    assert lessons.compare_to_reference(run, "10_pendulum_iql").figure.axes[0].get_xlabel() == "update"
    with pytest.raises(ValueError, match="the truth was not measured"):
        lessons.bias({"unmeasured": curves.Curve(step, believed)})


def test_a_recorded_episode_becomes_a_small_moving_picture() -> None:
    env = gym.make("FrozenLake-v1", render_mode="rgb_array", is_slippery=False)
    agent = qi.QLearning(16, 4, qi.Config(), seed=0)
    agent.q[:, 1] = 1  # three times down, into the hole in the corner
    frames = lessons.record(env, agent, seed=0)
    assert len(frames) == 4
    picture = lessons.video(frames, fps=4, alt="the way down")
    assert picture.metadata["alt"] == "the way down"
    assert len(imageio.imread(picture.data, extension=".gif")) == 4
    shown, _ = picture._repr_mimebundle_()
    assert shown["image/gif"] in shown["text/html"]
    still = r'media="\(prefers-reduced-motion: reduce\)" srcset="data:image/png;base64,([^"]*)"'
    calm = re.search(still, shown["text/html"])
    assert calm
    np.testing.assert_array_equal(imageio.imread(base64.b64decode(calm[1]), extension=".png"), frames[0])
    output = new_output("display_data", shown)
    normalise(new_notebook(cells=[new_code_cell(outputs=[output])]))
    assert set(output.data) == {"image/gif"}


@pytest.fixture
def films(monkeypatch: pytest.MonkeyPatch) -> list[lessons.Film]:
    """What is displayed."""
    found: list[lessons.Film] = []
    monkeypatch.setattr(lessons, "display", found.append)
    return found


def test_before_and_after_stand_beside_each_other(
    films: list[lessons.Film], capsys: pytest.CaptureFixture[str]
) -> None:
    world = gym.make("FrozenLake-v1", render_mode="rgb_array", is_slippery=False)  # 4 steps a second
    down, left = (qi.QLearning(16, 4, qi.Config(), seed=0) for _ in range(2))
    down.q[:, 1], left.q[:, 0] = 1, 1  # into a hole after three steps; against a wall for ever
    lessons.before_and_after(world, down, left, seed=0)
    (picture,) = films
    said = "The same episode: before training (left: ends after 3 steps) and after it (right: goes on after 12 steps)."
    assert picture.metadata["alt"] == said
    assert " ".join(capsys.readouterr().out.split()) == said
    shown = imageio.imread(picture.data, extension=".gif")
    _, high, wide, _ = np.stack(lessons.record(world, down, seed=0)).shape
    assert shown.shape == (3, high // 2, wide, 3)  # the start, two steps, the end; then nothing moves any more
    left_half, right_half = shown[:, :, : wide // 2], shown[:, :, wide // 2 :]
    assert (left_half[0] != left_half[1]).any()
    assert (left_half[1] != left_half[2]).any()
    np.testing.assert_array_equal(right_half, right_half[:1].repeat(3, 0))


def test_two_agents_may_observe_the_world_differently(films: list[lessons.Film]) -> None:
    class Turned(gym.ObservationWrapper):
        def observation(self, observation: Any) -> Any:
            return 15 - observation

    world = gym.make("FrozenLake-v1", render_mode="rgb_array", is_slippery=False)
    agent = qi.QLearning(16, 4, qi.Config(), seed=0)
    agent.q[0, 0], agent.q[15, 2], agent.q[14, 1] = 1, 1, 1  # left at the first; there, as the last, right, then down
    worlds, names = (world, Turned(world)), ("as it is", "turned")
    lessons.before_and_after(worlds, agent, agent, seed=0, names=names, steps=2, every=1)
    (picture,) = films
    said = "The same episode: as it is (left: goes on after 2 steps) and turned (right: goes on after 2 steps)."
    assert picture.metadata["alt"] == said
    shown = imageio.imread(picture.data, extension=".gif")
    left_half, right_half = np.split(shown, 2, axis=2)
    assert len(shown) == 3
    np.testing.assert_array_equal(left_half, left_half[:1].repeat(3, 0))
    assert all((a != b).any() for a, b in pairwise(right_half))


def test_bits_are_drawn_as_they_are_and_as_they_are_wanted() -> None:
    world = lessons.Flips(envs.make("rlcourse/BitFlip4-v0"))
    obs, _ = world.reset(seed=2)
    have, want = obs[:4].astype(int), obs[4:8].astype(int)
    first = world.render()
    world.step(0)
    second = world.render()
    place = (np.arange(4) + 0.5) * lessons.Flips.SIDE
    middle = (place + lessons.Flips.SIDE / 2).astype(int)
    for row, bits in zip(middle, (have, want), strict=False):
        assert [first[row, column].mean() < 128 for column in middle] == [bit == 1 for bit in bits]
    changed_rows, changed_columns = (np.nonzero((first != second).any(axes))[0] for axes in ((1, 2), (0, 2)))
    assert place[0] < min(changed_rows) < max(changed_rows) < place[1]  # of the bits as they are
    assert place[0] < min(changed_columns) < max(changed_columns) < place[1]  # only the first one
    framed = [
        (first[:, int(left) : int(left) + lessons.Flips.SIDE] == lessons.Flips.WRONG).all(-1).any() for left in place
    ]
    assert framed == list(have != want)
    assert 0 < sum(framed) < 4


def test_a_walk_is_drawn_from_above_and_to_the_right() -> None:
    world = lessons.Walk(envs.make("rlcourse/TwoWays-v0"))
    height, scale = lessons.Walk.SIZE[0], lessons.Walk.SCALE
    ahead, left = TwoWays.AHEAD, left_of(TwoWays.AHEAD)

    def place(color: tuple[int, ...]) -> np.ndarray:
        return np.argwhere((world.render() == color).all(-1)).mean(0)  # down, right

    for action in (None, np.array([-1.0, 1.0])):  # the way to the left, which is up in the picture
        tree = world.reset(seed=3)[0] if action is None else world.step(action)[0]
        across = lessons.Walk.LEFT + scale * (tree @ ahead)
        np.testing.assert_allclose(place(lessons.Walk.TREE), (height / 2, across), atol=1)
        np.testing.assert_allclose(place(lessons.Walk.GOAL), (height / 2, across + scale), atol=1)
        walker = place(lessons.Walk.WAY)
        start = 0.0 if action is None else scale * TwoWays.SPEED * 2**0.5  # from there its way is drawn, too
        high, low = height / 2 + scale * (tree @ left), height / 2 + scale * (tree @ left) + start
        assert high - 1 <= walker[0] <= low + 1
        assert walker[1] == pytest.approx(lessons.Walk.LEFT, abs=1)
    assert tree @ left < -0.4  # the tree is now on its right, below it


def test_a_stored_film_is_embedded_with_a_description(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lessons, "PACKAGE", tmp_path / "rlcourse")
    (tmp_path / "assets" / "videos").mkdir(parents=True)
    (tmp_path / "assets" / "videos" / "run.mp4").write_bytes(b"a film")
    page = lessons.stored_video("run", 'It "runs"').data
    assert "data:video/mp4;base64," + base64.b64encode(b"a film").decode() in page
    assert "aria-label='It &quot;runs&quot;'" in page
    assert "height='480'" in page
    assert "height='360'" in lessons.stored_video("run", "without its sky", height=360).data


def test_a_run_is_drawn_and_described_among_the_recorded_seeds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = curves.Curve(np.array([100, 200]), np.array([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]]))
    monkeypatch.setattr(pictures, "reference", lambda name: recorded)
    history = pictures.History(np.zeros((0, 2)), np.array([[100, 1.5], [200, 5.0]]))
    picture = lessons.compare_to_reference(history, "any")
    assert isinstance(picture, Still)
    assert "After 200 steps this run scores 5.0. The 3 reference seeds score 4.0 on average" in picture.alt
    printed = capsys.readouterr().out.splitlines()
    assert " ".join(printed) == picture.alt
    assert max(map(len, printed)) <= 100
    stopped_early = lessons.compare_to_reference(pictures.History(np.zeros((0, 2)), np.zeros((0, 2))), "any")
    assert not isinstance(stopped_early, Still)
    assert "nothing to compare yet" in stopped_early.data


def test_watch_keeps_the_metrics_it_is_told_to() -> None:
    """An update in every step from the third on."""
    metrics = [{"step": i, "reward": 1.0} | ({"temperature": 0.1 * i, "q": 5.0} if i > 2 else {}) for i in range(1, 6)]
    kept = lessons.watch(metrics, 5, keep=["temperature"]).kept
    assert kept.keys() == {"temperature"}
    assert kept["temperature"] == pytest.approx(np.array([[3, 0.3], [4, 0.4], [5, 0.5]]))


def test_efficiency_is_drawn_by_steps_and_by_seconds() -> None:
    slow = curves.Curve(np.array([10, 20]), np.array([[1.0, 5.0], [3.0, 7.0]]), wall_time=np.array([30.0, 50.0]))
    fast = curves.Curve(np.array([50, 100]), np.array([[0.0, 4.0]]), wall_time=np.array([20.0]))
    picture = lessons.efficiency({"slow": slow, "fast": fast}, "Task-v0")
    assert "slow ends at 6 after 20 steps or 30 seconds, 2 seeds" in picture.alt
    assert "fast ends at 4 after 100 steps or 20 seconds, 1 seed." in picture.alt
    by_steps, by_seconds = picture.figure.axes
    assert [np.asarray(line.get_xdata()).tolist() for line in by_steps.lines] == [[10, 20], [50, 100]]
    assert [np.asarray(line.get_xdata()).tolist() for line in by_seconds.lines] == [[15, 30], [10, 20]]
    for ax in (by_steps, by_seconds):
        assert [np.asarray(line.get_ydata()).tolist() for line in ax.lines] == [[2, 6], [0, 4]]


def test_a_reference_below_zero_is_not_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    curve = curves.Curve(np.array([100, 200]), np.array([[-900.0, -150.0], [-700.0, -140.0]]))
    monkeypatch.setattr(pictures, "reference", lambda name: curve)
    history = pictures.History(np.zeros((0, 2)), np.array([[100, -800.0], [200, -145.0]]))
    picture = lessons.compare_to_reference(history, "any")
    assert isinstance(picture, Still)
    low, _ = picture.figure.axes[0].get_ylim()
    assert low < -900


def test_watch_keeps_evaluations() -> None:
    agent = qi.QLearning(12, 4, qi.Config(), seed=0)
    env = TabularEnv(GRIDS["small"].mdp())
    history = lessons.watch(
        evaluated(train(env, agent, 400, 0), TabularEnv(GRIDS["small"].mdp()), agent, 200, 2, 9), 400
    )
    assert history.evaluations[:, 0].tolist() == [200, 400]
    assert history.evaluations[-1, 1] == 1


def test_a_value_while_learning_leaves_the_agent_as_it_was_and_keeps_a_fixed_policy() -> None:
    config = ddpg.Config(hidden=(8,), batch_size=8, learning_starts=8, lr=0.01)
    env = gym.make("Pendulum-v1")
    agent = ddpg.DDPG(3, gym.spaces.Box(-1.0, 1.0, (1,)), config, seed=0)
    for _ in train(env, agent, 30, seed=0):
        pass
    before, obs = agent.state_dict(), np.array([-1.0, 0.0, 0.0], np.float32)
    fixed, moving = (
        lessons.value_while_learning(agent, obs, tau=0.5, learning=each, updates=30, seed=1) for each in (False, True)
    )
    assert fixed.shape == moving.shape == (3,)
    assert (fixed != moving).any()
    for name, parameters in before["actor"].items():
        assert torch.equal(parameters, agent.actor.state_dict()[name])
    # The same by hand: ten updates with the seed's batches, an actor that stays, and targets that follow by τ = ½.
    student, batches = ddpg.DDPG(3, gym.spaces.Box(-1.0, 1.0, (1,)), config, seed=0), torch.Generator().manual_seed(1)
    student.load_state_dict(before)
    student.config = ddpg.Config(hidden=(8,), batch_size=8, learning_starts=8, lr=0.01, tau=0.5)
    student.target_actor = student.actor
    policy = copy.deepcopy(student.actor.state_dict())
    for _ in range(10):
        student.update(student.replay.sample(8, batches))
        student.actor.load_state_dict(policy)
    assert fixed[0] == pytest.approx(student.value(obs, student.act(obs, explore=False)), abs=1e-6)
