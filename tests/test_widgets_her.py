"""Lecture 08's widget without a browser: what each preset claims, and the counts that it shows."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from rlcourse.algorithms import her
from rlcourse.widgets import hindsight
from rlcourse.widgets.hindsight import EPISODES, MOST, PRESETS, STEPS, STRATEGIES, Hindsight

pytestmark = pytest.mark.thorough

FUTURE = "future: goals that lie ahead"


def relabelled(preset: str = FUTURE, **changes: Any) -> Hindsight:
    return hindsight.compute(**PRESETS[preset] | changes)


def test_no_walk_reaches_the_goal_and_all_begin_at_the_start() -> None:
    walks = hindsight.walks()
    assert walks.shape == (EPISODES, STEPS + 1, 2)
    assert (walks[:, 0] == (4, 0)).all()
    assert not (walks == (4, 11)).all(-1).any()
    assert (np.abs(np.diff(walks, axis=1)).sum(-1) <= 1).all()
    assert (walks[0, :, 1].max(), walks[0, -1].tolist()) == (9, [5, 7])  # the first ends in the pocket


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_count_is_that_of_the_goals_that_are_reached(strategy: her.Strategy) -> None:
    for k, episode, draw in product((0, 1, MOST), (1, EPISODES), (0, 20)):
        data = relabelled(strategy=strategy, k=k, episode=episode, draw=draw)
        assert data.rewards.shape == (k + 1, STEPS)
        assert set(data.rewards.ravel().tolist()) <= {0, -1}
        assert (data.rewards[0] == -1).all()
        by_hand = sum(tuple(data.goals[copy, t]) == tuple(data.cells[t + 1]) for copy in range(k) for t in range(STEPS))
        assert data.signals == by_hand


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_average_over_draws_is_the_expected_count(strategy: her.Strategy) -> None:
    counts = [relabelled(strategy=strategy, k=MOST, draw=draw).signals for draw in range(300)]
    expected = relabelled(k=MOST).expected[STRATEGIES.index(strategy)]
    # four standard errors; the seeds are fixed. `final` draws nothing: it has the same count every time
    assert np.mean(counts) == pytest.approx(expected, abs=4 * np.std(counts) / np.sqrt(300) + 1e-9)
    assert (np.std(counts) == 0) == (strategy == "final")


def test_of_a_walk_that_never_comes_back_the_expected_count_has_a_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    """k, k (1 + 1/2 + … + 1/T), k and k / E: no two cells of the memory are the same."""
    cells = np.arange(EPISODES * (STEPS + 1) * 2).reshape(EPISODES, STEPS + 1, 2)
    monkeypatch.setattr(hindsight, "walks", lambda: cells)
    harmonic = sum(1 / n for n in range(1, STEPS + 1))
    for k in (1, 4):
        expected = dict(zip(STRATEGIES, relabelled(k=k, episode=3).expected, strict=True))
        assert expected == pytest.approx({"final": k, "future": k * harmonic, "episode": k, "random": k / EPISODES})


def test_the_presets() -> None:
    assert relabelled("k = 0: nothing but failure").signals == 0
    final = relabelled("final: one goal for the whole walk")
    assert (final.goals == final.cells[-1]).all()
    assert final.signals == 1
    future = relabelled(FUTURE)
    for t in range(STEPS):
        ahead = {tuple(cell) for cell in future.cells[t + 1 :]}
        assert {tuple(goal) for goal in future.goals[:, t]} <= ahead
    episode = relabelled("episode: goals that may lie behind")
    own = {tuple(cell) for cell in episode.cells[1:]}
    assert {tuple(goal) for goal in episode.goals.reshape(-1, 2)} <= own
    assert not {tuple(goal) for goal in episode.goals[:, 20:].reshape(-1, 2)} <= {
        tuple(cell) for cell in episode.cells[21:]
    }
    elsewhere = {tuple(goal) for goal in relabelled("random: goals of other walks").goals.reshape(-1, 2)}
    assert len(elsewhere - own) > 5
    last = relabelled("future, the last step: its own cell")
    assert (last.goals[:, -1] == last.cells[-1]).all()
    assert (last.rewards[1:, -1] == 0).all()


def test_future_has_the_most_signal_in_every_walk_and_random_the_least() -> None:
    for episode in range(1, EPISODES + 1):
        final, future, own, elsewhere = relabelled(episode=episode).expected
        assert future > max(final, own, elsewhere)
        assert elsewhere < own
    assert relabelled(k=8).expected == pytest.approx(8 * relabelled(k=1).expected)


def test_more_copies_keep_those_that_are_there() -> None:
    few, many = relabelled(k=3), relabelled(k=MOST)
    np.testing.assert_array_equal(few.goals, many.goals[:3])
    assert (relabelled(draw=1).goals != relabelled(draw=0).goals).any()


def test_the_alternative_text_states_the_count_and_the_goals() -> None:
    data = relabelled(step=9)
    text = hindsight.describe(data)
    assert f"{data.signals} of {5 * STEPS} transitions pay 0" in text
    goals = ", ".join(f"({row}, {column})" for row, column in data.goals[:, 8])
    assert f"Step 9 leads to ({data.cells[9][0]}, {data.cells[9][1]}); its new goals: {goals}." in text
