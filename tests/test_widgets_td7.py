"""Lecture 09's widgets without a browser: what each preset claims, and what theory says."""

import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import flatdim

from rlcourse import envs, loop
from rlcourse.algorithms import prioritisation, td7
from rlcourse.curves import Estimate
from rlcourse.provenance import code_hash
from rlcourse.widgets import checkpoints, embeddings, lap_sampling, recordings
from rlcourse.widgets.lap_sampling import SCHEMES

pytestmark = pytest.mark.thorough

# --- LAP sampling


def sampled(preset: str = "LAP as in TD7", **changes: Any) -> lap_sampling.Sampling:
    return lap_sampling.compute(**lap_sampling.PRESETS[preset] | changes)


UNIFORM, PER, LAP, PAL = range(4)


@pytest.mark.parametrize("moment", lap_sampling.MOMENTS.values())
@pytest.mark.parametrize("exponent", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("floor", [0.1, 1.0, 10.0])
def test_pal_pulls_as_lap_does_while_priorities_are_fresh(moment: int, exponent: float, floor: float) -> None:
    fresh = sampled(moment=moment, exponent=exponent, floor=floor)
    np.testing.assert_allclose(fresh.pull[PAL], fresh.pull[LAP], rtol=1e-9)
    if exponent and floor < 1:
        stale = sampled(moment=moment, exponent=exponent, floor=floor, priorities="stale")
        assert np.abs(stale.pull[PAL] - stale.pull[LAP]).max() > 1e-4  # staleness is LAP's affair only


@pytest.mark.parametrize("exponent", [0.0, 0.4, 1.0])
def test_the_pull_is_a_power_of_the_error(exponent: float) -> None:
    data = sampled(exponent=exponent, floor=0.01)
    above = data.error > 0.01
    for scheme, power in ((UNIFORM, 1), (PER, 1 + exponent), (LAP, exponent)):  # of L_p the derivative has p − 1
        constant = data.pull[scheme, above] / data.error[above] ** power
        np.testing.assert_allclose(constant, constant[0], rtol=1e-6)


def test_shares_and_chances_add_up() -> None:
    for values in lap_sampling.PRESETS.values():
        data = lap_sampling.compute(**values)
        assert data.probability.sum() == pytest.approx(1)
        assert data.pull.sum(1) == pytest.approx(np.ones(4))
        assert (np.diff(data.error) <= 0).all()
        assert data.batch.shape == (lap_sampling.BATCH,)


def test_batches_follow_the_chances() -> None:
    data = sampled(exponent=1.0, floor=0.01)
    drawn = np.concatenate([sampled(exponent=1.0, floor=0.01, draw=draw).batch for draw in range(40)])
    share = (drawn < 100).mean()
    expected = data.probability[:100].sum()
    assert share == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / len(drawn)))


def test_the_presets_of_lap_sampling() -> None:
    data = sampled()
    # squares let the largest pull more than LAP does, and PER with squares more than that
    assert data.top[LAP] < data.top[UNIFORM] < data.top[PER]
    strong = sampled("PER with squares: the largest pull more")
    assert strong.top[PER] > data.top[PER] > strong.top[UNIFORM]
    np.testing.assert_array_equal(
        sampled("uniform: squares let the largest pull").probability, np.full(len(data.error), 1 / len(data.error))
    )
    np.testing.assert_array_equal(sampled("PAL: LAP's pull without its sampling").pull[PAL], data.pull[PAL])
    flat = sampled("α = 0: LAP samples uniformly")
    assert np.ptp(flat.probability) == 0
    high = sampled("a high floor: uniform, and squares")
    assert high.error[0] < high.floor
    assert np.ptp(high.probability) < 1e-12
    np.testing.assert_allclose(high.pull[LAP], high.pull[UNIFORM])
    stale = sampled("stale priorities")
    assert stale.ratio.min() < 0.7
    assert stale.ratio.max() > 1.4
    assert np.ptp(sampled("stale priorities", scheme="PAL").ratio) == 0


def test_the_text_of_lap_sampling() -> None:
    data = sampled()
    text = lap_sampling.describe(data)
    for name, part in zip(SCHEMES, data.top, strict=True):
        assert f"{name} {100 * part:.0f} %" in text


@pytest.mark.parametrize("added", [0.0, 20.0])
def test_the_same_balls_go_up_and_down_on_the_same_axes(added: float) -> None:
    views = {}
    for scheme in lap_sampling.SCHEMES:
        data = lap_sampling.compute(**lap_sampling.PRESETS["LAP as in TD7"] | {"scheme": scheme, "added": added})
        views[scheme] = lap_sampling.scene(data).main
        heights = len(data.error) * np.stack([data.probability, data.pull[lap_sampling.SCHEMES.index(scheme)]])
        for view, height in zip(views[scheme], heights, strict=True):
            balls = next(mark for mark in view.marks if mark["kind"] == "dots")
            assert len(balls["x"]) == lap_sampling.BALLS
            assert np.isin(balls["y"], height).all()
            assert max(balls["y"]) < view.y.high
            held = [mark["along_x"] for mark in view.marks if mark["kind"] == "handle"]
            assert held == ["added", "floor"] if scheme in ("LAP + Huber", "PAL") else held == ["added"]
    first = views[lap_sampling.SCHEMES[0]]
    assert all([view.y for view in each] == [view.y for view in first] for each in views.values())


# --- embeddings


def looked(preset: str = next(iter(embeddings.PRESETS)), **changes: Any) -> embeddings.Embeddings:
    return embeddings.compute(**embeddings.PRESETS[preset] | changes)


def test_the_recording_is_whole_and_of_todays_code() -> None:
    data = recordings.load.__wrapped__()  # not the one that is kept
    looks = len(data.updates)
    assert looks == embeddings.LAST
    for name in ("raw", "scale", "rank", "loss"):
        assert getattr(data, name).shape == (2, recordings.SEEDS, looks)
    assert data.error.shape == data.known.shape == (len(recordings.MOMENTS), recordings.ROWS)
    assert data.cloud.shape == (2, looks, recordings.DOTS, 2)
    assert data.speed.shape == (recordings.DOTS,)
    assert np.isfinite(data.cloud).all()
    with np.load(recordings.PATH) as file:
        assert str(file["code"]) == code_hash("td7"), "td7 has changed since: run python -m rlcourse.widgets.recordings"
    assert {field.name for field in fields(data)} < set(np.load(recordings.PATH).files)


def test_the_presets_of_embeddings() -> None:
    scale = looked()
    np.testing.assert_allclose(scale.values[0], 1, rtol=1e-4)  # by definition
    raw = looked("before the norm it drifts all the same")
    np.testing.assert_allclose(raw.values[1], scale.values[1], rtol=1e-5)
    assert raw.values[0, :, -1].mean() != pytest.approx(raw.values[0, :, 0].mean(), rel=0.1)
    for preset in embeddings.PRESETS:
        data = looked(preset)
        at = data.look - 1
        ratios = np.log(data.values[1, :, at] / data.values[0, :, at])
        assert data.ratio.value == pytest.approx(math.exp(ratios.mean()))
        assert data.ratio.low <= data.ratio.value <= data.ratio.high


@pytest.mark.parametrize("look", [1, 7, embeddings.LAST])
def test_the_clouds_are_those_of_the_moment_on_one_scale(look: int) -> None:
    data = looked(look=look)
    views = embeddings.scene(data).main
    for which, view in enumerate(views):
        (drawn,) = (mark for mark in view.marks if mark["kind"] == "dots")
        np.testing.assert_array_equal(np.stack([drawn["x"], drawn["y"]], -1), recordings.load().cloud[which, look - 1])
        assert f"spread {data.spread[which]:.2f}" in view.title
        assert view.x == view.y == views[0].x
        assert view.x.high >= np.abs(recordings.load().cloud).max()


def test_a_cloud_in_a_plane_keeps_its_shape() -> None:
    rng = np.random.default_rng(0)
    plane, _ = np.linalg.qr(rng.standard_normal((5, 2)))
    seen = rng.standard_normal((3, 20, 2))
    flat = recordings.flat(seen @ plane.T + 7)
    centred = seen - seen.mean(1, keepdims=True)
    np.testing.assert_allclose(flat @ flat.swapaxes(1, 2), centred @ centred.swapaxes(1, 2), atol=1e-9)


def test_verdicts_by_hand() -> None:
    assert embeddings.verdict(Estimate(2, 1.1, 3)) == "larger"
    assert embeddings.verdict(Estimate(0.5, 0.4, 0.9)) == "smaller"
    assert embeddings.verdict(Estimate(1.2, 0.9, 1.5)) == "not resolved"


def test_effective_rank_by_hand() -> None:
    corners = torch.tensor([[1.0, 1, 0], [1, -1, 0], [-1, 1, 0], [-1, -1, 0]])
    assert recordings.effective_rank(corners) == pytest.approx(2)  # two directions of equal spread
    assert recordings.effective_rank(corners + 7) == pytest.approx(2)  # centred first
    line = torch.tensor([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]])
    assert recordings.effective_rank(line) == pytest.approx(1)


def test_the_recorded_errors_are_those_of_an_update(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without noise on the target's action, the error that a priority is made from is `recordings.errors`."""
    env = envs.make("Pendulum-v1")
    config = replace(recordings.CONFIG, learning_starts=256, target_noise=0.0, min_priority=1e-6, target_every=20)
    agent = td7.TD7(flatdim(env.observation_space), env.action_space, config, seed=0)
    for _ in loop.train(env, agent, 300, seed=0):
        pass
    batch = agent.replay.sample(64, torch.Generator().manual_seed(0))
    expected = recordings.errors(agent, batch)
    made: list[torch.Tensor] = []
    monkeypatch.setattr(agent.replay, "update_priorities", lambda _, priorities: made.append(priorities))
    agent.update(batch)
    np.testing.assert_allclose(made[0].numpy(), expected**config.priority_exponent, rtol=1e-4)


def test_a_recording_is_made_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(recordings.CONFIG, learning_starts=512, hidden=(8,), embedding=4, batch_size=8)
    changes = {"STEPS": 560, "SEEDS": 2, "EVERY": 20, "MOMENTS": (10, 30), "ROWS": 40, "CONFIG": small}
    for name, value in (changes | {"PATH": tmp_path / "new" / "small.npz"}).items():
        monkeypatch.setattr(recordings, name, value)
    recordings.main()
    data = recordings.load.__wrapped__()  # not the one that is kept
    assert data.updates.tolist() == [20, 40]
    assert data.scale.shape == (2, 2, 2)
    np.testing.assert_allclose(data.scale[0], 1, rtol=1e-4)
    assert data.error.shape == (2, 40)
    assert data.cloud.shape == (2, 2, recordings.DOTS, 2)
    np.testing.assert_allclose(data.cloud.mean(2), 0, atol=1e-3)  # half precision
    assert np.isnan(data.known).any()  # 560 transitions, few of them replayed
    assert not np.isnan(data.known).all()


# --- checkpoints


def assessed(preset: str, **changes: Any) -> checkpoints.Assessment:
    return checkpoints.compute(**checkpoints.PRESETS[preset] | changes)


FALLS = "better on average, but it falls: the minimum refuses"


def test_the_presets_of_checkpoints() -> None:
    minimum, mean = assessed(FALLS), assessed("the same by its mean: taken")
    assert minimum.means[1] > minimum.means[0]
    assert minimum.chosen[0] < 0.01
    assert minimum.chosen[1] < 5  # of 20 episodes
    assert mean.chosen[0] > 0.85
    assert mean.chosen[1] == 20
    one = assessed("one episode: luck decides")
    assert one.chosen[0] == one.replaced[1, 0] == pytest.approx(0.7, abs=0.03)
    by_mean = assessed("a little better, by the mean: taken").chosen[0]
    by_minimum = assessed("a little better, by the minimum: not so sure").chosen[0]
    assert by_mean > 0.9 > 0.8 > by_minimum > 0.7
    worse = assessed("worse: soon over")
    assert worse.chosen[0] < 0.01
    assert worse.chosen[1] < 2


@pytest.mark.parametrize("episodes", checkpoints.EPISODES)
def test_equal_policies_are_replaced_half_of_the_time(episodes: int) -> None:
    data = assessed(FALLS, gain=0, fall=0.0, episodes=episodes)
    # four standard errors of a share of TRIALS
    assert data.replaced == pytest.approx(np.full_like(data.replaced, 0.5), abs=2 / math.sqrt(checkpoints.TRIALS))


def test_more_episodes_make_the_minimum_stricter_and_cost_more() -> None:
    data = assessed(FALLS)
    assert (np.diff(data.replaced[0]) <= 0).all()
    assert (np.diff(data.spent) >= 0).all()
    assert data.spent[0] == 1
    # it ends at the first fall: a geometric number of episodes, 1/p
    assert data.spent[-1] == pytest.approx(1 / 0.3, abs=0.2)


@pytest.mark.parametrize("preset", checkpoints.PRESETS)
def test_the_watched_assessments_are_among_those_that_are_counted(preset: str) -> None:
    watched = [assessed(preset, assessment=i) for i in range(1, checkpoints.SHOWN + 1)]
    taken = np.array([data.scores[1] >= data.scores[0] for data in watched])
    chance, cost = watched[0].chosen
    # four standard errors of a share of SHOWN assessments, and of a number of episodes
    assert taken.mean() == pytest.approx(chance, abs=2 / math.sqrt(checkpoints.SHOWN))
    spent = np.array([data.watched for data in watched])
    assert spent.mean() == pytest.approx(cost, abs=4 * spent.std() / math.sqrt(checkpoints.SHOWN) + 1e-9)
    assert all(data.watched == data.episodes for data, took in zip(watched, taken, strict=True) if took)


def test_the_picture_of_an_assessment_shows_its_end() -> None:
    (view,) = checkpoints.scene(assessed(FALLS)).main
    run = assessed(FALLS).watched
    assert view.title == f"assessment 1: refused in episode {run}"
    shown = [mark["names"] for mark in view.marks if mark["kind"] == "dots" and mark["names"]]
    assert [len(names) for names in shown] == [20, 20 - run, run]
    assert all(name.endswith("not run") for name in shown[1])


def test_the_text_of_checkpoints() -> None:
    data = assessed(FALLS)
    assert "3000 on average, the challenger 3450" in checkpoints.describe(data)
    assert f"{data.chosen[1]:.1f} episodes are spent" in checkpoints.describe(data)


def test_what_holds_no_errors_costs_nothing() -> None:
    """0 for both twins, and no NaN from dividing one sum of zeros by another."""
    none = torch.zeros(4, requires_grad=True)
    loss = prioritisation.per(none, 2.0, 0.6, 0.4).sum() + prioritisation.pal(none, 0.4, 1.0).sum()
    loss.backward()
    assert loss.item() == 0
    assert none.grad is not None
    assert none.grad.tolist() == [0, 0, 0, 0]
