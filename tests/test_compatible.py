"""Compatible features: the gradient by differences, and a critic that is wrong and gives it exactly."""

import numpy as np
import pytest

from rlcourse import envs
from rlcourse.algorithms import compatible, q_iteration

GAMMA = 0.9
WORLDS = {"road": envs.road_and_ditch(), "grid": envs.GRIDS["two goals"].mdp()}


def case(name: str, seed: int) -> tuple[np.ndarray, ...]:
    """Random features, two for a whole world; policy, states and Q exactly."""
    world, rng = WORLDS[name], np.random.default_rng(seed)
    features = rng.normal(size=(*world.expected_reward.shape, 2))
    theta = rng.normal(size=2)
    policy = compatible.softmax_policy(features, theta)
    states = q_iteration.state_distribution(world, policy, world.start, GAMMA)
    q = q_iteration.backup(world, q_iteration.evaluate_policy(world, policy, GAMMA), GAMMA)
    return features, theta, policy, states, q


def test_policy_and_scores_by_hand() -> None:
    features = np.array([[[0.0], [np.log(3)]]])
    policy = compatible.softmax_policy(features, np.ones(1))
    assert policy.tolist() == [pytest.approx([0.25, 0.75])]  # 1 : 3
    # φ less its mean ¾ log 3
    assert compatible.scores(policy, features)[0, :, 0] == pytest.approx(np.log(3) * np.array([-0.75, 0.25]))


def test_a_fit_by_hand() -> None:
    # One input, 1 and 2, weights ½·¼ and ½·¾: w = (⅛·1·4 + ⅜·2·1) / (⅛·1 + ⅜·4) = (10/8) / (13/8)
    inputs, q = np.array([[[1.0], [2.0]]]), np.array([[4.0, 1.0]])
    found = compatible.fit(np.array([0.5]), np.array([[0.25, 0.75]]), inputs, q)
    assert found.tolist() == [pytest.approx([10 / 13, 20 / 13])]


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_gradient_is_that_of_the_return(name: str, seed: int) -> None:
    features, theta, policy, states, q = case(name, seed)
    world, step = WORLDS[name], 1e-5

    def returned(moved: np.ndarray) -> float:
        policy = compatible.softmax_policy(features, moved)
        return float(world.start @ q_iteration.evaluate_policy(world, policy, GAMMA))

    differences = [(returned(theta + step * e) - returned(theta - step * e)) / (2 * step) for e in np.eye(2)]
    found = compatible.policy_gradient(states, policy, features, q, GAMMA)
    assert found == pytest.approx(differences, rel=1e-5, abs=1e-7)  # central differences: an error of step²


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_compatible_critic_is_wrong_and_its_gradient_is_right(name: str, seed: int) -> None:
    features, _, policy, states, q = case(name, seed)
    right = compatible.policy_gradient(states, policy, features, q, GAMMA)
    size = np.abs(right).max()

    def error(critic: np.ndarray) -> float:
        return float(np.abs(compatible.policy_gradient(states, policy, features, critic, GAMMA) - right).max() / size)

    fitted = compatible.fit(states, policy, compatible.scores(policy, features), q)
    assert np.abs(fitted - q).max() > 0.1 * np.abs(q).max()
    assert error(fitted) < 1e-12
    assert error(compatible.fit(states, policy, features, q)) > 1e-2  # the policy's own features, not centred
    evenly = compatible.fit(np.ones_like(states), np.ones_like(policy), compatible.scores(policy, features), q)
    assert error(evenly) > 1e-2  # the right features, fitted to all pairs alike
    # Anything that depends on the state alone may be added: a baseline.
    assert error(fitted + np.arange(len(states))[:, None]) < 1e-11
