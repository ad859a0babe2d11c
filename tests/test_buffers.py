"""The replay buffers: what goes in comes out, as often as it should, and nonsense stays outside."""

import copy
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from rlcourse.buffers import Batch, NStep, PrioritizedReplay, ReplayBuffer, Rollout, Transition, _draw, n_step
from rlcourse.nets import generators


def numbered(i: int, **changes: Any) -> Transition:
    """Observation (i, −i), action i, reward 10·i."""
    fields = {
        "obs": np.array([i, -i], np.float32),
        "action": i,
        "reward": 10.0 * i,
        "next_obs": np.array([i + 1, -i - 1], np.float32),
        "terminated": False,
        "truncated": False,
    }
    return Transition(**fields | changes)


def filled(buffer: ReplayBuffer, transitions: int) -> ReplayBuffer:
    for i in range(transitions):
        buffer.add(numbered(i))
    return buffer


def prioritized(priorities: Sequence[float], capacity: int | None = None) -> PrioritizedReplay:
    replay = PrioritizedReplay(capacity or len(priorities), (2,))
    filled(replay, len(priorities))
    replay.update_priorities(torch.arange(len(priorities)), torch.tensor(priorities))
    return replay


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda buffer: pickle.loads(pickle.dumps(buffer))])
def test_a_copy_is_a_buffer_of_its_own(twin: Callable[[ReplayBuffer], ReplayBuffer]) -> None:
    original = filled(ReplayBuffer(3, (2,)), 1)
    copied = twin(original)
    copied.add(numbered(7))
    assert copied.gather(torch.arange(2)).reward.tolist() == [0, 70]
    assert len(original) == 1
    original.add(numbered(5))
    assert copied.gather(torch.arange(2)).reward.tolist() == [0, 70]


def everything(buffer: ReplayBuffer) -> Batch:
    return buffer.gather(torch.arange(len(buffer)))


def equal(one: Batch, other: Batch) -> bool:
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in Batch.__annotations__)


# --- what goes in comes out


def test_a_batch_is_what_was_stored() -> None:
    buffer = ReplayBuffer(5, (2,))
    buffer.add(numbered(1))
    buffer.add(numbered(2, terminated=True, steps=3))
    buffer.add(numbered(3, truncated=True))
    batch = everything(buffer)
    assert batch.obs.tolist() == [[1, -1], [2, -2], [3, -3]]
    assert batch.action.tolist() == [1, 2, 3]
    assert batch.action.dtype == torch.int64
    assert batch.reward.tolist() == [10, 20, 30]
    assert batch.next_obs.tolist() == [[2, -2], [3, -3], [4, -4]]
    assert batch.terminated.tolist() == [0, 1, 0]  # a truncated episode goes on as far as values are concerned
    assert batch.steps.tolist() == [1, 3, 1]
    assert batch.probability.tolist() == pytest.approx([1 / 3] * 3)
    assert batch.indices.tolist() == [0, 1, 2]


def test_continuous_actions_and_images_keep_their_shapes() -> None:
    buffer = ReplayBuffer(3, (4, 4, 1), (2,))
    image = np.full((4, 4, 1), 255, np.uint8)
    buffer.add(Transition(image, np.array([0.5, -0.5]), 1, image, False, False))
    batch = everything(buffer)
    assert batch.obs.shape == (1, 4, 4, 1)
    assert batch.obs.max() == 255
    assert batch.action.tolist() == [[0.5, -0.5]]


def test_the_oldest_are_overwritten() -> None:
    buffer = filled(ReplayBuffer(4, (2,)), 6)
    assert len(buffer) == 4
    assert everything(buffer).action.tolist() == [4, 5, 2, 3]


def test_a_batch_does_not_change_when_the_buffer_does() -> None:
    buffer = filled(ReplayBuffer(2, (2,)), 2)
    batch = everything(buffer)
    filled(buffer, 2)
    buffer.add(numbered(9))
    assert batch.action.tolist() == [0, 1]


def test_what_the_environment_reuses_is_copied() -> None:
    buffer, obs = ReplayBuffer(2, (2,)), np.zeros(2, np.float32)
    buffer.add(numbered(0, obs=obs))
    obs += 7
    assert everything(buffer).obs.tolist() == [[0, 0]]


# --- nonsense stays outside


@pytest.mark.parametrize("cls", [ReplayBuffer, PrioritizedReplay])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"obs": np.zeros(3)}, r"obs has shape \(3,\), this buffer stores \(2,\)"),
        ({"obs": np.zeros(1)}, r"obs has shape \(1,\)"),  # would broadcast
        ({"next_obs": np.zeros((1, 2))}, r"next_obs has shape \(1, 2\)"),
        ({"reward": np.zeros(1)}, r"reward has shape \(1,\), this buffer stores \(\)"),
        ({"action": 0.5}, "action = 0.5 has dtype float64: it must be an integer"),
        ({"obs": np.array(["a", "b"])}, "obs = .* has dtype <U1: it must be real numbers"),
        ({"reward": 1j}, "reward = 1j has dtype complex128"),
        ({"obs": np.array([0, np.nan])}, "obs = .* is not finite"),
        ({"next_obs": np.array([0, -np.inf])}, "next_obs = .* is not finite"),
        ({"reward": float("nan")}, "reward = nan is not finite"),
        ({"reward": float("inf")}, "reward = inf is not finite"),
        ({"reward": 1e39}, r"reward = 1e\+39 is not finite, or beyond float32's range: mend the environment"),
        ({"terminated": 0.5}, "terminated = 0.5: it must be true or false, 1 or 0"),
        ({"terminated": 2}, "terminated = 2: it must be true or false, 1 or 0"),
    ],
)
def test_nonsense_is_refused_by_name_and_not_stored(
    cls: type[ReplayBuffer], changes: dict[str, Any], message: str
) -> None:
    buffer = filled(cls(5, (2,)), 2)
    with pytest.raises(ValueError, match=message):
        buffer.add(numbered(2, **changes))
    assert everything(buffer).action.tolist() == [0, 1]
    buffer.add(numbered(3))
    assert everything(buffer).action.tolist() == [0, 1, 3]


@pytest.mark.parametrize("cls", [ReplayBuffer, PrioritizedReplay])
def test_sampling_more_than_there_is_is_refused(cls: type[ReplayBuffer]) -> None:
    buffer = filled(cls(5, (2,)), 2)
    with pytest.raises(ValueError, match=r"batch_size = 3 is out of range: it must be in \[1, 2\]"):
        buffer.sample(3, generators(0, 1)[0])
    with pytest.raises(ValueError, match="batch_size = 0"):
        buffer.sample(0, generators(0, 1)[0])


@pytest.mark.parametrize("cls", [ReplayBuffer, PrioritizedReplay])
def test_an_empty_memory_is_refused(cls: type[ReplayBuffer]) -> None:
    with pytest.raises(ValueError, match="capacity = 0 is out of range"):
        cls(0, (2,))


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_priorities_are_refused_and_nothing_changes(bad: float) -> None:
    replay = prioritized([1.0, 2.0])
    with pytest.raises(ValueError, match=r"it must be|they must be in \(0, inf\)"):
        replay.update_priorities(torch.tensor([0, 1]), torch.tensor([5.0, bad]))
    assert replay.priorities.tolist() == [1, 2]
    assert replay.max_priority == 2


def test_a_diverged_agent_is_not_blamed_on_the_environment() -> None:
    lost = numbered(0, action=np.array([np.nan], np.float32))
    message = r"^action = \[nan\] is not finite, or beyond float32's range: the agent has diverged, lower its learning"
    for memory in (ReplayBuffer(2, (2,), (1,)), Rollout()):
        with pytest.raises(ValueError, match=message):
            memory.add(lost)


def test_a_rollout_refuses_what_float32_cannot_hold() -> None:
    """Its largest number is 3.4·10³⁸."""
    rollout = Rollout()
    rollout.add(numbered(0, reward=-3e38))
    with pytest.raises(ValueError, match=r"^reward = 1e\+39 is not finite, or beyond float32's range: mend the env"):
        rollout.add(numbered(0, reward=1e39))
    with pytest.raises(ValueError, match=r"^obs = .* beyond float32's range: mend the environment$"):
        rollout.add(numbered(0, obs=np.array([0, -1e300])))
    assert len(rollout) == 1


@pytest.mark.parametrize("kind", [bool, int, float, np.bool_, np.uint8, np.float32])
def test_flags_of_any_type_come_out_as_booleans(kind: Any) -> None:
    rollout = Rollout()
    for terminated, truncated in ((0, 0), (1, 0), (0, 1)):
        rollout.add(numbered(0, terminated=kind(terminated), truncated=kind(truncated)))
    taken = rollout.take()
    assert taken.terminated.dtype == taken.truncated.dtype == bool
    assert taken.terminated.tolist() == [False, True, False]
    assert taken.truncated.tolist() == [False, False, True]


def test_a_rollout_refuses_flags_that_are_neither_true_nor_false() -> None:
    rollout = Rollout()
    rollout.add(numbered(0, truncated=2))
    with pytest.raises(ValueError, match=r"^truncated = \[2\]: it must be true or false, 1 or 0$"):
        rollout.take()


# --- n-step transitions


def windows(n: int, stream: Sequence[Transition]) -> list[tuple[int, float, float, bool, bool, int]]:
    """Action, reward, first number of next_obs, terminated, truncated and steps of each window, with γ = ½."""
    pairing = NStep(n, 0.5)
    return [
        (long.action, long.reward, float(long.next_obs[0]), long.terminated, long.truncated, long.steps)
        for transition in stream
        for long in pairing(transition)
    ]


def test_one_step_windows_are_the_transitions_themselves() -> None:
    assert windows(1, [numbered(1), numbered(2, terminated=True)]) == [
        (1, 10, 2, False, False, 1),
        (2, 20, 3, True, False, 1),
    ]


def test_windows_that_reach_a_terminal_state_end_there() -> None:
    stream = [numbered(1), numbered(2), numbered(3, terminated=True), numbered(4), numbered(5)]
    assert windows(2, stream) == [
        (1, 10 + 0.5 * 20, 3, False, False, 2),
        (2, 20 + 0.5 * 30, 4, True, False, 2),
        (3, 30, 4, True, False, 1),
        (4, 40 + 0.5 * 50, 6, False, False, 2),  # and nothing of the earlier episode is in it
    ]


def test_windows_that_reach_a_time_limit_are_shorter_and_go_on_to_bootstrap() -> None:
    stream = [numbered(1), numbered(2, truncated=True), numbered(3)]
    assert windows(3, stream) == [
        (1, 10 + 0.5 * 20, 3, False, True, 2),  # bootstraps with γ² at the last observation, not the next episode's
        (2, 20, 3, False, True, 1),
    ]


def test_n_step_discounts_each_reward() -> None:
    # 10 + 0.9·20 + 0.81·30 = 52.3
    assert n_step([numbered(1), numbered(2), numbered(3)], 0.9).reward == pytest.approx(52.3)


# --- how often


def frequencies(buffer: ReplayBuffer, draws: int) -> np.ndarray:
    generator = generators(0, 1)[0]
    indices = torch.cat([buffer.sample(len(buffer), generator).indices for _ in range(draws // len(buffer))])
    return indices.bincount(minlength=len(buffer)).numpy()


def test_uniform_sampling_is_uniform() -> None:
    # The seed is fixed: the p-value is one number, and far from 0 unless the sampling is wrong.
    assert stats.chisquare(frequencies(filled(ReplayBuffer(100, (2,)), 50), 100_000)).pvalue > 0.01


def test_prioritized_sampling_is_proportional() -> None:
    # 3000 transitions fill two blocks of 1024 and part of a third; priorities span five orders of magnitude.
    priorities = 10 ** torch.linspace(-3, 2, 3000)[torch.randperm(3000, generator=generators(1, 1)[0])]
    replay = prioritized(priorities.tolist(), capacity=5000)
    counts = frequencies(replay, 300_000)
    expected = (priorities / priorities.sum()).numpy().astype(float) * counts.sum()
    common = expected >= 5  # the usual condition of the test; the rare ones are counted together
    observed = np.append(counts[common], counts[~common].sum())
    wanted = np.append(expected[common], expected[~common].sum())
    assert stats.chisquare(observed, wanted * observed.sum() / wanted.sum()).pvalue > 0.01


def test_the_probability_of_a_draw_is_its_share_of_the_priorities() -> None:
    batch = prioritized([1.0, 2.0, 5.0]).gather(torch.tensor([2, 0]))
    assert batch.probability.tolist() == pytest.approx([5 / 8, 1 / 8])


@pytest.mark.thorough
def test_empty_slots_are_never_drawn() -> None:
    # A draw of exactly 0 belongs to the first item that weighs something.
    assert _draw(torch.tensor([[0.0, 1.0], [2.0, 1.0]]), torch.zeros(2, 1)).tolist() == [[1], [0]]
    replay = prioritized([1e-30, 1e-30], capacity=3000)
    assert set(replay.sample(2, generators(0, 1)[0]).indices.tolist()) <= {0, 1}
    assert frequencies(replay, 10_000).sum() == 10_000


def test_new_transitions_enter_with_the_largest_priority_until_it_is_reset() -> None:
    replay = PrioritizedReplay(4, (2,))
    filled(replay, 2)
    assert replay.priorities.tolist() == [1, 1]
    replay.update_priorities(torch.tensor([0]), torch.tensor([8.0]))
    replay.add(numbered(2))
    assert replay.priorities.tolist() == [8, 1, 8]
    replay.update_priorities(torch.tensor([0, 2]), torch.tensor([3.0, 0.5]))
    replay.add(numbered(3))
    assert replay.priorities.tolist() == [3, 1, 0.5, 8]  # the largest ever
    replay.update_priorities(torch.tensor([3]), torch.tensor([2.0]))
    replay.reset_max_priority()
    replay.add(numbered(4))
    assert replay.priorities.tolist() == [3, 1, 0.5, 2]  # the largest there is, in place of the oldest


def test_sums_do_not_drift() -> None:
    replay, generator = prioritized([1.0] * 2000), generators(0, 1)[0]
    for _ in range(300):
        indices = torch.randint(2000, (64,), generator=generator)
        replay.update_priorities(indices, 10 ** (12 * torch.rand(64, generator=generator) - 6))
    replay.update_priorities(torch.arange(2000), torch.full((2000,), 0.5))
    # Sums that were adjusted rather than computed anew would be off by about 1e6 · 1e-16 · √300 and more.
    assert replay.gather(torch.arange(2000)).probability.tolist() == [torch.tensor(1 / 2000).item()] * 2000


# --- saving


@pytest.mark.parametrize("transitions", [3, 7])
@pytest.mark.parametrize("cls", [ReplayBuffer, PrioritizedReplay])
def test_a_loaded_buffer_goes_on_like_the_saved_one(cls: type[ReplayBuffer], transitions: int) -> None:
    saved, loaded = filled(cls(5, (2,)), transitions), filled(cls(5, (2,)), 5)
    if isinstance(saved, PrioritizedReplay):
        saved.update_priorities(torch.tensor([0, 2]), torch.tensor([4.0, 0.25]))
    state = saved.state_dict()
    saved.add(numbered(20))
    loaded.load_state_dict(state)
    loaded.add(numbered(20))
    assert equal(everything(saved), everything(loaded))
    assert equal(saved.sample(3, generators(0, 1)[0]), loaded.sample(3, generators(0, 1)[0]))


@pytest.mark.parametrize("cls", [ReplayBuffer, PrioritizedReplay])
def test_a_saved_state_stays_as_it_was_and_is_no_larger_than_it_must_be(cls: type[ReplayBuffer]) -> None:
    buffer = filled(cls(2, (2,)), 2)
    state, before = buffer.state_dict(), everything(buffer)
    buffer.add(numbered(9))
    buffer.load_state_dict(state)
    assert equal(everything(buffer), before)
    barely_filled = filled(cls(1000, (2,)), 3).state_dict()["fields"]["obs"]
    assert barely_filled.untyped_storage().nbytes() == 3 * 2 * 4  # transitions × numbers × bytes


def test_a_buffer_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="saved from a buffer of shapes"):
        ReplayBuffer(6, (2,)).load_state_dict(filled(ReplayBuffer(5, (2,)), 3).state_dict())
    with pytest.raises(ValueError, match="saved from a buffer of shapes"):
        ReplayBuffer(5, (3,)).load_state_dict(filled(ReplayBuffer(5, (2,)), 3).state_dict())


def test_a_rollout_stacks_along_time_and_is_empty_afterwards() -> None:
    rollout = Rollout()
    for t in range(3):
        ends = np.array([t == 1, False]), np.array([False, t == 2])
        rollout.add(Transition(np.full((2, 1), t), np.array([t, 0]), np.array([t, 1.0]), np.full((2, 1), t + 1), *ends))
    assert len(rollout) == 3
    taken = rollout.take()
    assert taken.obs.shape == (3, 2, 1)
    assert taken.next_obs[:, 0, 0].tolist() == [1, 2, 3]
    assert taken.action.tolist() == [[0, 0], [1, 0], [2, 0]]
    assert taken.reward.tolist() == [[0, 1], [1, 1], [2, 1]]
    assert taken.terminated.tolist() == [[False, False], [True, False], [False, False]]
    assert taken.truncated.tolist() == [[False, False], [False, False], [False, True]]
    assert len(rollout) == 0


@pytest.mark.parametrize("field", ["obs", "action", "reward", "next_obs"])
def test_a_rollout_refuses_what_is_not_finite(field: str) -> None:
    rollout = Rollout()
    good: dict[str, Any] = {"obs": np.zeros(2), "action": np.zeros(1), "reward": 0.0, "next_obs": np.zeros(2)}
    with pytest.raises(ValueError, match=f"^{field} = .*inf.* is not finite"):
        rollout.add(Transition(**good | {field: good[field] + np.inf}, terminated=False, truncated=False))
    assert len(rollout) == 0
