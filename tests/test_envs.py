"""Tabular worlds: the arrays, what they refuse, and their gymnasium face."""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from rlcourse import envs
from rlcourse.algorithms import q_iteration
from rlcourse.envs import ACTIONS, GRIDS, BitFlip, GridWorld, TabularEnv, TabularMDP, WallMaze, from_gymnasium

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


# --- worlds with goals


@pytest.mark.parametrize("env", [BitFlip(4), BitFlip(4, dense=True), WallMaze(), WallMaze(dense=True)], ids=str)
def test_worlds_with_goals_pass_gymnasiums_own_check(env: gym.Env) -> None:
    check_env(env, skip_render_check=True)


GOALS = [
    *("rlcourse/BitFlip4-v0", "rlcourse/BitFlip4Dense-v0", "rlcourse/WallMaze-v0", "rlcourse/WallMazeDense-v0"),
    *("rlcourse/FetchReach-v4", "rlcourse/FetchReachDense-v4", "rlcourse/FetchPush-v4"),
]


@pytest.mark.parametrize("env_id", GOALS)
def test_the_rewards_of_a_step_are_those_of_its_goals(env_id: str) -> None:
    """Observed is [achieved, desired, the rest]; about a whole episode the world says what it said step by step."""
    env = envs.make(env_id)
    world: Any = env.unwrapped
    size = gym.spaces.flatdim(world.observation_space["desired_goal"])
    env.action_space.seed(0)
    obs, _ = env.reset(seed=0)
    desired, steps, over = obs[size : 2 * size], [], False
    while not over:
        obs, reward, terminated, truncated, info = env.step(env.action_space.sample())
        np.testing.assert_array_equal(obs[size : 2 * size], desired)
        steps.append((obs[:size], float(reward), terminated, info["is_success"]))
        over = terminated or truncated
    assert env.spec is not None
    assert len(steps) == env.spec.max_episode_steps  # chance does not reach the goal
    achieved, rewards, ends, successes = map(np.array, zip(*steps, strict=True))
    goals = np.broadcast_to(desired, achieved.shape)
    reward_of, terminated_of = map(env.get_wrapper_attr, ("compute_reward", "compute_terminated"))
    np.testing.assert_allclose(reward_of(achieved, goals, {}), rewards, atol=1e-6)  # float32
    assert not ends.any()
    assert not successes.any()
    # With what was achieved for a goal every step would have succeeded.
    assert (reward_of(achieved, achieved, {}) == 0).all()
    ends_task = "Fetch" not in env_id
    assert np.all(terminated_of(achieved, achieved, {}) == ends_task)


def test_bits_flip_until_they_are_the_goal() -> None:
    env = BitFlip(3)
    env.reset(seed=0)
    env._bits, env._goal = np.array([0, 1, 1], np.int8), np.array([1, 1, 0], np.int8)
    obs, reward, terminated, truncated, info = env.step(0)
    assert obs["achieved_goal"].tolist() == obs["observation"].tolist() == [1, 1, 1]
    assert obs["desired_goal"].tolist() == [1, 1, 0]
    assert (reward, terminated, truncated, info) == (-1, False, False, {"is_success": False})
    assert env.step(2)[1:] == (0, True, False, {"is_success": True})
    achieved = np.array([[0, 0, 0], [1, 1, 0], [0, 1, 0]])
    goal = np.array([[1, 1, 1], [1, 1, 0], [1, 1, 0]])
    assert BitFlip(3).compute_reward(achieved, goal, {}).tolist() == [-1, 0, -1]
    assert BitFlip(3, dense=True).compute_reward(achieved, goal, {}).tolist() == [-3, 0, -1]


def test_bits_and_goals_are_drawn_evenly() -> None:
    env = BitFlip(2)
    env.reset(seed=0)
    starts = [env.reset()[0] for _ in range(1600)]
    numbers = [obs["achieved_goal"] @ (1, 2) + 4 * (obs["desired_goal"] @ (1, 2)) for obs in starts]
    counts = np.bincount(numbers, minlength=16)
    # 16 shares of 100, standard deviation 9.7: beyond 4 of them with probability 10⁻³, and the seed is fixed.
    assert np.abs(counts - 100).max() < 39


def walk_maze(env: gym.Env, moves: str) -> tuple[list[tuple[int, int]], list[float], bool]:
    """The cells and rewards along moves such as "uurd", and whether the last one ended the episode."""
    env.reset(seed=0)
    world: Any = env.unwrapped
    cells, rewards, terminated = [], [], False
    for move in moves:
        _, reward, terminated, _, _ = env.step("urdl".index(move))
        cells.append((int(world._cell[0]), int(world._cell[1])))
        rewards.append(float(reward))
    return cells, rewards, terminated


def test_the_pocket_is_closed_and_the_way_around_leads_to_the_goal() -> None:
    maze = gym.make("rlcourse/WallMaze-v0")
    cells, rewards, terminated = walk_maze(maze, "l" + 11 * "r")
    assert (cells[0], cells[1], cells[-1]) == ((4, 0), (4, 1), (4, 9))  # against the edge, and at last the wall
    assert set(rewards) == {-1}
    assert not terminated
    cells, rewards, terminated = walk_maze(maze, "uuu" + 11 * "r" + "ddd")
    assert cells[-1] == (4, 11)
    assert rewards == [-1] * 16 + [0]
    assert terminated
    _, rewards, _ = walk_maze(gym.make("rlcourse/WallMazeDense-v0"), "ru")
    assert rewards == pytest.approx([-10, -np.sqrt(101)], rel=1e-6)  # from (4, 1), then (3, 1), to (4, 11)


def test_observed_places_are_scaled() -> None:
    obs, _ = gym.make("rlcourse/WallMaze-v0").reset(seed=0)
    assert obs.dtype == np.float32
    # Row 4 of 0 … 8 is the middle; column 0 of 0 … 12 is the left edge, column 11 at 2·11/12 − 1.
    assert obs == pytest.approx([0, -1, 0, 10 / 12, 0, -1])


@pytest.mark.parametrize(
    ("dense", "gamma", "end"),
    [(False, 0.9, (4, 11)), (False, 0.98, (4, 11)), (True, 0.9, (4, 9)), (True, 0.95, (4, 9)), (True, 0.96, (4, 11))],
)
def test_the_dense_reward_is_best_in_the_pocket(dense: bool, gamma: float, end: tuple[int, int]) -> None:
    """Exactly: the optimal policy of the maze as arrays, followed from the start for 60 steps."""
    mdp = WallMaze(dense).mdp()
    policy = q_iteration.greedy(q_iteration.optimal_q(mdp, gamma)).argmax(1)
    state = int(mdp.start.argmax())
    for _ in range(60):
        state = int(mdp.next_state[state, policy[state], 0])
    assert divmod(state, WallMaze.GRID.shape[1]) == end


def test_what_the_pocket_costs_and_what_the_way_around() -> None:
    """Discounted from S at γ = 0.95 and 0.96, as lecture 08 says."""
    maze = WallMaze(dense=True)
    assert (~maze.GRID.walls).sum() == 96
    for gamma, pocket, around in ((0.95, -72.1, -78.6), (0.96, -82.8, -82.5)):
        costs = []
        for moves in ("r" * 9 + "r" * 500, "ruuu" + "r" * 10 + "ddd"):  # 500 more for ever
            _, rewards, terminated = walk_maze(maze, moves)
            costs.append(sum(gamma**t * reward for t, reward in enumerate(rewards)))
        assert terminated
        assert costs == pytest.approx([pocket, around], abs=0.05)
        best = q_iteration.optimal_q(maze.mdp(), gamma)[int(maze.mdp().start.argmax())].max()
        assert best == pytest.approx(max(costs), abs=1e-3)
    assert min(rewards) == pytest.approx(-10.4, abs=0.05)


@pytest.mark.thorough
def test_chance_finds_few_goals_among_many_bits_and_some_with_the_robot() -> None:
    """Per step the bits are the goal with probability 2⁻ⁿ; the first time ends the episode, so it is fewer."""
    envs.register_bit_flip(7)  # a size that the course does not use
    for n, steps in ((5, 4_000), (7, 8_000)):
        env, rng, found = envs.make(f"rlcourse/BitFlip{n}-v0"), np.random.default_rng(0), 0
        env.reset(seed=0)
        for _ in range(steps):
            _, _, terminated, truncated, _ = env.step(rng.integers(n))
            found += terminated
            if terminated or truncated:
                env.reset()
        expected = steps / 2**n
        assert 0.6 * expected < found < expected + 3 * np.sqrt(expected)
    reach, touched = envs.make("rlcourse/FetchReach-v4"), 0
    reach.action_space.seed(0)
    for seed in range(30):
        reach.reset(seed=seed)
        touched += any(reach.step(reach.action_space.sample())[1] == 0 for _ in range(50))
    assert 1 <= touched <= 15


@pytest.mark.parametrize("dense", [False, True])
def test_the_maze_as_arrays_pays_what_its_steps_pay(dense: bool) -> None:
    maze = WallMaze(dense)
    mdp, width = maze.mdp(), maze.GRID.shape[1]
    rng, state = np.random.default_rng(0), int(mdp.start.argmax())
    maze.reset()
    for action in [*rng.integers(4, size=500), *([0] * 9 + [1] * 13 + [2] * 4 + [3] * 2)]:
        _, reward, terminated, _, _ = maze.step(action)
        assert reward == pytest.approx(mdp.reward[state, action, 0])
        assert terminated == mdp.terminated[state, action, 0]
        state = int(mdp.next_state[state, action, 0])
        assert divmod(state, width) == tuple(maze._cell)
        if terminated:
            break
    assert terminated


def flip_what_is_wrong(obs: np.ndarray) -> int:
    return int((obs[:4] != obs[4:8]).argmax())


def move_straight(obs: np.ndarray) -> np.ndarray:
    return np.append(np.clip(10 * (obs[3:6] - obs[:3]), -1, 1), 0).astype(np.float32)


@pytest.mark.parametrize(
    ("env_id", "policy", "success"),
    [
        ("rlcourse/BitFlip4Success-v0", flip_what_is_wrong, 1.0),
        ("rlcourse/BitFlip4Success-v0", lambda obs: 0, 0.0),
        ("rlcourse/FetchReachSuccess-v4", move_straight, 1.0),
        ("rlcourse/FetchReachSuccess-v4", lambda obs: np.zeros(4, np.float32), 0.0),
    ],
)
def test_success_is_one_at_the_end_or_nothing(env_id: str, policy: Any, success: float) -> None:
    env = envs.make(env_id)
    obs, _ = env.reset(seed=2)
    rewards, over = [], False
    while not over:
        obs, reward, terminated, truncated, _ = env.step(policy(obs))
        rewards.append(reward)
        over = terminated or truncated
    assert len(rewards) > 1
    assert rewards == [0.0] * (len(rewards) - 1) + [success]


@pytest.mark.parametrize(("task", "moved", "scaled"), [("Reach", 3, 3), ("Push", 6, 9)])
def test_a_fetch_robot_sees_decimetres_from_where_its_gripper_rests(task: str, moved: int, scaled: int) -> None:
    env = envs.make(f"rlcourse/Fetch{task}-v4")
    world: Any = env.unwrapped
    env.reset(seed=0)
    obs, *_ = env.step(np.array([1, -1, 1, 0], np.float32))
    raw, rest = world._get_obs(), world.initial_gripper_xpos
    for goal, name in zip(obs[:6].reshape(2, 3), ("achieved_goal", "desired_goal"), strict=True):
        np.testing.assert_allclose(goal, 10 * (raw[name] - rest))
    here, there = raw["observation"], obs[6:]
    np.testing.assert_allclose(there[:moved].reshape(-1, 3), 10 * (here[:moved].reshape(-1, 3) - rest))
    np.testing.assert_allclose(there[moved:scaled], 10 * here[moved:scaled])  # a difference of two places
    np.testing.assert_array_equal(there[scaled:], here[scaled:])
    # 4.9 and 5.1 cm away: within 5 cm the task is done.
    goals = np.array([[0.0, 0.49, 0.0], [0.51, 0.0, 0.0]], np.float32)
    assert env.get_wrapper_attr("compute_reward")(np.zeros((2, 3), np.float32), goals, {}).tolist() == [0, -1]


@pytest.mark.thorough
def test_making_a_fetch_robot_says_nothing() -> None:
    code = "from rlcourse import envs; envs.make('rlcourse/FetchSlide-v4')"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("kind", [int, float, np.uint8])
def test_ends_may_be_0_and_1_and_nothing_else(kind: type) -> None:
    """Two states; the first leads to the second and ends there, so that nothing of P is left, whatever the type."""
    fields: dict[str, Any] = {
        "next_state": np.array([[[1]], [[1]]]),
        "probability": np.ones((2, 1, 1)),
        "reward": np.ones((2, 1, 1)),
        "start": np.array([1.0, 0.0]),
    }
    world = TabularMDP(**fields, terminated=np.array([[[1]], [[0]]], kind))
    assert world.terminated.dtype == bool
    assert world.transition.toarray().tolist() == [[0, 0], [0, 1]]
    with pytest.raises(ValueError, match="terminated is 2 at state 1, action 0, outcome 0: it must be true or false"):
        TabularMDP(**fields, terminated=np.array([[[1]], [[2]]], kind))
