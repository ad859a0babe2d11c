"""Tabular worlds: the arrays, what they refuse, and their gymnasium face."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from rlcourse.envs import ACTIONS, GRIDS, GridWorld, TabularEnv, TabularMDP, from_gymnasium

UP, RIGHT, DOWN, LEFT = range(4)
# Two cells and a goal in a row: states 0, 1, 2.
CORRIDOR = GridWorld("S.G")


def test_deterministic_moves() -> None:
    mdp = CORRIDOR.mdp()
    assert mdp.next_state.shape == (3, 4, 1)
    # From the left cell: up, down and left run into the edge, right moves on.
    assert mdp.next_state[0, :, 0].tolist() == [0, 1, 0, 0]
    assert mdp.reward[1, RIGHT, 0] == 1
    assert mdp.terminated[1, RIGHT, 0]
    assert not mdp.terminated[0, RIGHT, 0]
    assert mdp.start.tolist() == [1, 0, 0]


def test_goal_is_absorbing_and_pays_nothing_more() -> None:
    mdp = CORRIDOR.mdp()
    assert mdp.next_state[2].ravel().tolist() == [2] * 4
    assert mdp.reward[2].ravel().tolist() == [0] * 4
    assert mdp.terminated[2].all()


def test_slip_is_shared_by_both_sides() -> None:
    mdp = GridWorld("...\n.S.\n..G", slip=0.2).mdp()
    # Going right from the centre (state 4): right is 5; turning left is up, 1; turning right is down, 7.
    assert dict(zip(mdp.next_state[4, RIGHT].tolist(), mdp.probability[4, RIGHT].tolist(), strict=True)) == {
        5: 0.8,
        1: 0.1,
        7: 0.1,
    }


def test_walls_stop_and_cost_a_step() -> None:
    mdp = GridWorld("S#G\n...", step_cost=0.1).mdp()
    assert mdp.next_state[0, RIGHT, 0] == 0
    assert mdp.reward[0, RIGHT, 0] == pytest.approx(-0.1)
    assert mdp.reward[5, UP, 0] == pytest.approx(0.9)


def test_expected_reward_and_transition_are_the_means_over_outcomes() -> None:
    mdp = GridWorld(GRIDS["small"].text, slip=0.3).mdp()
    values = np.random.default_rng(0).normal(size=mdp.num_states)
    by_hand = (mdp.probability * ~mdp.terminated * values[mdp.next_state]).sum(-1)
    ours = (mdp.transition @ values).reshape(mdp.num_actions, mdp.num_states).T
    np.testing.assert_allclose(ours, by_hand, atol=1e-14)  # sums of three products
    np.testing.assert_allclose(mdp.expected_reward, (mdp.probability * mdp.reward).sum(-1), atol=1e-14)


def test_edits_leave_the_original_alone() -> None:
    world = GRIDS["small"]
    edited = world.with_reward(0, 0, 0.5).with_cell(2, 3, "#")
    assert edited.entry_reward[0, 0] == 0.5
    assert edited.walls[2, 3]
    assert world.entry_reward[0, 0] == 0
    assert not world.walls[2, 3]
    # A cell drawn anew forgets the reward it was given.
    assert edited.with_cell(0, 0, ".").entry_reward[0, 0] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": "S?G"}, r"unknown character '\?' in row 0, column 1: use one of"),
        ({"text": "S.G\n.."}, "row 1 has 2 cells, row 0 has 3"),
        ({"text": "S..."}, "no goal: put at least one of G P g"),
        ({"slip": 1.5}, r"slip = 1.5 is out of range: it must be in \[0, 1\]"),
        ({"cell_rewards": {(0, 9): 1.0}}, "row 0, column 9: it must be on the grid and no wall"),
        ({"cell_rewards": {(0, 1): float("nan")}}, "nan in row 0, column 1: it must be finite"),
    ],
)
def test_bad_grids_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(CORRIDOR, **change)  # type: ignore[arg-type]


def test_a_grid_without_a_cell_to_start_from_is_refused() -> None:
    with pytest.raises(ValueError, match="no cell to start from"):
        GridWorld("G#").mdp()


@pytest.mark.parametrize(
    ("field", "index", "value", "message"),
    [
        ("probability", (1, 2, 0), 0.5, "sum of probability over outcomes is 0.5 at state 1, action 2: it must be 1"),
        ("probability", (1, 2, 0), -1.0, "probability is -1 at state 1, action 2, outcome 0: it must be at least 0"),
        ("next_state", (0, 3, 0), 7, "next_state is 7 at state 0, action 3, outcome 0: it must be a state, 0 to 2"),
        ("reward", (2, 0, 0), np.inf, "reward is inf at state 2, action 0, outcome 0: it must be finite"),
        ("reward", (2, 0, 0), np.nan, "reward is nan at state 2"),
        ("start", 0, 0.5, "start sums to 0.5"),
    ],
)
def test_bad_tables_are_refused(field: str, index: tuple[int, ...], value: float, message: str) -> None:
    mdp = CORRIDOR.mdp()
    table = getattr(mdp, field).copy()
    table[index] = value
    with pytest.raises(ValueError, match=message):
        replace(mdp, **{field: table})


@pytest.mark.parametrize("field", ["probability", "reward", "terminated", "start"])
def test_wrong_shapes_are_refused(field: str) -> None:
    mdp = CORRIDOR.mdp()
    with pytest.raises(ValueError, match=f"{field} has shape"):
        replace(mdp, **{field: getattr(mdp, field)[:-1]})


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("slip", [0.0, 0.2])
def test_every_grid_passes_gymnasiums_own_check(name: str, slip: float) -> None:
    env = TabularEnv(replace(GRIDS[name], slip=slip).mdp())
    check_env(env, skip_render_check=True)


def test_steps_happen_as_often_as_their_probabilities_say() -> None:
    mdp = GridWorld("...\n.S.\n..G", slip=0.4).mdp()
    env, reached = TabularEnv(mdp), []
    env.reset(seed=0)
    for _ in range(5000):
        env.reset()
        reached.append(env.step(RIGHT)[0])
    shares = np.bincount(reached, minlength=9)[[5, 1, 7]] / 5000
    # Four standard errors of a share of 0.6 in 5000 draws are 0.028.
    np.testing.assert_allclose(shares, [0.6, 0.2, 0.2], atol=0.028)


@pytest.mark.parametrize("name", ["FrozenLake-v1", "FrozenLake8x8-v1", "CliffWalking-v1", "Taxi-v4"])
def test_gymnasiums_tables_are_taken_over_exactly(name: str) -> None:
    env = gym.make(name)
    mdp, table = from_gymnasium(env), env.unwrapped.P  # type: ignore[attr-defined]
    for s in range(mdp.num_states):
        for a in range(mdp.num_actions):
            outcomes = mdp.probability[s, a], mdp.next_state[s, a], mdp.reward[s, a], mdp.terminated[s, a]
            ours = [outcome for outcome in zip(*outcomes, strict=True) if outcome[0] > 0]
            assert ours == [tuple(outcome) for outcome in table[s][a] if outcome[0] > 0]


def test_an_environment_without_a_table_is_refused() -> None:
    with pytest.raises(ValueError, match="has no transition table P: use a toy-text environment"):
        from_gymnasium(gym.make("CartPole-v1"))


def test_a_large_grid_fits_easily() -> None:
    mdp = GridWorld("\n".join(["." * 100] * 99 + ["." * 99 + "G"]), slip=0.2).mdp()
    arrays = mdp.next_state, mdp.probability, mdp.reward, mdp.terminated
    assert sum(array.nbytes for array in arrays) < 4e6  # S·A·K = 120 000 entries of at most 25 bytes
    assert isinstance(mdp, TabularMDP)
    assert len(ACTIONS) == mdp.num_actions
