"""The live run without a browser: it finishes, or the recorded run takes over and says why; nothing is left behind."""

import asyncio
import json
import multiprocessing
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rlcourse import curves, runs
from rlcourse.algorithms import ppo
from rlcourse.buffers import Transition
from rlcourse.widgets import live_run
from rlcourse.widgets.live_run import FRAMES, PRESETS, RUNS, Film, Live, advance
from tests.test_presets import preset_of
from tests.test_widgets import find

pytestmark = pytest.mark.thorough


class Raises(ppo.PPO):
    def learn(self) -> Any:
        raise ZeroDivisionError("a mistake in the update")


class Dies(ppo.PPO):
    def learn(self) -> Any:
        os._exit(3)


class Hangs(ppo.PPO):
    def learn(self) -> Any:
        time.sleep(3600)


def brief(agent: str = "ppo", env: str = "CartPole-v1") -> runs.Experiment:
    return runs.Experiment(agent, env, 128, ppo.Config(rollout_steps=64, epochs=1), evaluate_every=64, episodes=1)


def broken(agent: type[ppo.PPO]) -> runs.Experiment:
    return brief(f"{__name__}:{agent.__name__}")


def started(deadline: int = 600) -> Live:
    return replace(live_run.compute("PPO on CartPole", deadline), status="running", seed=7)


def followed(monkeypatch: pytest.MonkeyPatch, experiment: runs.Experiment, live: Live) -> list[Live]:
    """All that is shown of a live run of this experiment."""
    monkeypatch.setattr(curves, "recorded_experiment", lambda name: experiment)
    monkeypatch.setattr(live_run, "REFRESH", 0.05)
    shown: list[Live] = []
    before = set(multiprocessing.active_children())  # other tests' pools
    asyncio.run(live_run.follow(live, shown.append))
    assert set(multiprocessing.active_children()) <= before
    return shown


# --- how it ends


def test_it_finishes_and_says_live(monkeypatch: pytest.MonkeyPatch) -> None:
    *before, end = followed(monkeypatch, brief(), started())
    assert {live.status for live in before} <= {"running"}
    assert end.status == "finished"
    assert [step for step, _ in end.evaluations] == [64, 128]
    assert end.episodes
    assert end.film is not None
    assert end.film is end.newest
    assert end.film.value in [value for _, value in end.episodes]
    assert f"Live: seed 7 has finished in {end.seconds:.0f} seconds" in live_run.describe(end)


def test_it_is_the_run_that_the_experiment_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = brief()
    env, agent = experiment.make_agent(7)
    training = experiment.train(env, agent, experiment.make_evaluation_env(), 7)
    expected = [(m["step"], m["episode_return"]) for m in training if "episode_return" in m]
    assert list(followed(monkeypatch, experiment, started())[-1].episodes) == expected


@pytest.mark.parametrize("agent", [None, Hangs], ids=["too long", "hangs"])
def test_at_the_deadline_the_recorded_run_takes_over(
    monkeypatch: pytest.MonkeyPatch, agent: type[ppo.PPO] | None
) -> None:
    experiment = broken(agent) if agent else replace(brief(), steps=10_000_000)
    end = followed(monkeypatch, experiment, started(deadline=1))[-1]
    assert end.status == "recorded"
    assert "Recorded, not live: its 1 seconds were over at step" in live_run.describe(end)


@pytest.mark.parametrize(
    ("experiment", "reason"),
    [
        (brief(env="Nowhere-v0"), "NameNotFound: Environment `Nowhere`"),
        (broken(Raises), "ZeroDivisionError: a mistake in the update"),
        (broken(Dies), "the training process has died"),
    ],
    ids=["no environment", "raises", "dies"],
)
def test_what_goes_wrong_is_said(monkeypatch: pytest.MonkeyPatch, experiment: runs.Experiment, reason: str) -> None:
    end = followed(monkeypatch, experiment, started())[-1]
    assert end.status == "recorded"
    assert f"Recorded, not live: {reason}" in live_run.describe(end)


def test_without_a_process_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(multiprocessing.context.SpawnProcess, "start", refuse)
    end = followed(monkeypatch, brief(), started())[-1]
    assert (end.status, end.reason) == ("recorded", "OSError: no more processes")


def test_who_finishes_in_the_last_moment_has_finished() -> None:
    live = advance(started(deadline=10), [("episode", 20, 20.0), ("evaluation", 64, 30.0)], 9.0)
    assert (live.status, live.step, live.seconds) == ("running", 64, 9.0)
    assert advance(live, [None], 10.0).status == "finished"
    assert advance(live, ["ValueError: no"], 10.0).reason == "ValueError: no"
    over = advance(live, [], 10.0)
    assert (over.status, over.evaluations, over.episodes) == ("recorded", ((64, 30.0),), ((20, 20.0),))


# --- the picture


def test_the_picture_says_which_run_it_shows() -> None:
    waiting = live_run.compute("PPO on CartPole", 60)
    running = advance(replace(waiting, status="running", seed=7), [("evaluation", 2048, 30.0)], 5.0)
    for live in (waiting, running, advance(running, [None], 6.0), advance(running, ["E: no"], 6.0)):
        headline = live_run.scene(live).headline
        assert headline == f"{live.run}. {live_run.verdict(live)}."
        words = "Live" if live.status in ("running", "finished") else "Recorded"
        assert live_run.verdict(live).startswith(words)
        assert live_run.describe(live).startswith(headline)


def drawn(live: Live) -> tuple[str, Any]:
    """The title beside the curve, and where the tip of the pole is."""
    view = live_run.scene(live).main[1]
    pole = [mark for mark in view.marks if mark["kind"] == "line" and mark["width"] == 9]
    assert len(pole) == 1
    return view.title, (pole[0]["x"][1], pole[0]["y"][1])


def test_a_pole_stands_where_the_observation_says() -> None:
    cart = replace(started(), film=Film(21.0, ((0.5, 0.0, 0.1, 0.0),)))
    title, tip = drawn(cart)
    assert title == "a training episode: return 21"
    assert tip == pytest.approx((0.5 + np.sin(0.1), np.cos(0.1)))
    pendulum = replace(live_run.compute("TD3 on Pendulum", 60), film=Film(-900.0, ((0.0, 1.0, 0.0),)))
    title, tip = drawn(pendulum)
    assert title == "a training episode: return −900"
    assert tip == pytest.approx((-1.0, 0.0), abs=1e-9)  # gymnasium draws a positive angle to the left
    assert drawn(live_run.compute("PPO on CartPole", 60)) == ("no episode yet", (0.0, 1.0))


def test_only_a_pole_that_has_fallen_is_said_to() -> None:
    def says(*observations: tuple[float, ...], frame: int) -> bool:
        view = live_run.scene(replace(started(), film=Film(9.0, observations), frame=frame)).main[1]
        return any(mark["kind"] == "text" for mark in view.marks)

    standing, fallen = (0.0, 0.0, 0.05, 0.0), (0.1, 0.0, -0.25, 0.0)
    assert not says(standing, fallen, frame=0)
    assert says(standing, fallen, frame=1)
    assert not says(standing, standing, frame=1)


def test_an_episode_is_shown_to_its_end_and_then_the_newest() -> None:
    first, second, third = (Film(float(n), tuple((float(i), 0.0, 0.0, 0.0) for i in range(3))) for n in range(3))
    live, seen = started(), []
    for messages in ([first], [second], [third], [], [], []):
        live = advance(live, messages, 1.0)
        assert live.film is not None
        seen.append((live.film.value, live.frame))
    assert seen == [(0, 0), (0, 1), (0, 2), (2, 0), (2, 1), (2, 2)]


@pytest.mark.parametrize("side_by_side", [False, True])
def test_episodes_are_recorded_from_what_the_agent_observes(side_by_side: bool) -> None:
    class Watched:
        seen = 0

        def observe(self, transition: Transition) -> None:
            self.seen += 1

    agent, films = Watched(), list[Film]()
    live_run.record(agent, films.append)
    ends = [False] * 49 + [True] + [False] * 2 + [True] + [False]
    for i, end in enumerate(ends):
        obs, reward, over = np.full(4, float(i)), 2.0, end
        if side_by_side:  # the second environment ends elsewhere
            stacked = np.stack([obs, -obs])
            agent.observe(
                Transition(
                    stacked, np.zeros(2), np.array([2.0, 7.0]), stacked, np.array([over, i == 5]), np.zeros(2, bool)
                )
            )
        else:
            agent.observe(Transition(obs, 0, reward, obs, over, False))
    assert agent.seen == len(ends)
    assert [film.value for film in films] == [100.0, 6.0]
    assert [len(film.observations) for film in films] == [FRAMES, 3]
    assert [film.observations[-1] for film in films] == [(49.0,) * 4, (52.0,) * 4]


# --- the buttons


def pressed(script: Callable[[Any], Awaitable[None]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a script on a widget whose runs go on for ever."""

    async def endless(live: Live, show: Callable[[Live], None]) -> None:
        show(advance(live, [("evaluation", 2048, 30.0)], 3.0))
        await asyncio.Event().wait()

    monkeypatch.setattr(live_run, "follow", endless)

    async def go() -> None:
        await script(live_run.widget())

    asyncio.run(go())


def under_way() -> int:
    return len(asyncio.all_tasks()) - 1  # this one


def test_start_stop_and_start_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(panel: Any) -> None:
        start, stop = find(panel, "Start"), find(panel, "Stop")
        for seed in (live_run.FIRST_SEED, live_run.FIRST_SEED + 1):
            assert (start.disabled, stop.disabled) == (False, True)
            start.click()
            assert (start.disabled, stop.disabled) == (True, False)
            await asyncio.sleep(0)
            assert f"Live: seed {seed}, 3 of at most 60 seconds, 30 at step 2048" in panel.picture.alt
            assert preset_of(panel).value == next(iter(PRESETS))
            stop.click()
            await asyncio.sleep(0)
            assert under_way() == 0
            assert f"Live: seed {seed}, stopped by hand after 3 seconds" in panel.picture.alt

    pressed(script, monkeypatch)


def test_that_the_recorded_run_has_taken_over_is_said_above_the_picture_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(live: Live, show: Callable[[Live], None]) -> None:
        show(advance(live, ["ValueError: no"], 1.0))

    monkeypatch.setattr(live_run, "follow", fails)

    async def go() -> None:
        panel = live_run.widget()
        find(panel, "Start").click()
        await asyncio.sleep(0)
        assert "Recorded, not live: ValueError: no" in panel._message.value
        assert "Recorded, not live: ValueError: no" in panel.picture.alt
        assert (find(panel, "Start").disabled, find(panel, "Stop").disabled) == (False, True)
        find(panel, "Start").click()
        assert panel._message.value == ""

    asyncio.run(go())


def test_a_double_click_on_start_leaves_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(panel: Any) -> None:
        for _ in range(2):
            find(panel, "Start").click()
        await asyncio.sleep(0)
        assert under_way() == 1
        find(panel, "Stop").click()
        await asyncio.sleep(0)
        assert under_way() == 0

    pressed(script, monkeypatch)


def test_another_run_ends_the_one_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(panel: Any) -> None:
        find(panel, "Start").click()
        await asyncio.sleep(0)
        preset_of(panel).value = "TD3 learns to swing up"
        await asyncio.sleep(0)
        assert under_way() == 0
        assert panel.picture.alt == live_run.describe(live_run.compute("TD3 on Pendulum", 60))
        assert (find(panel, "Start").disabled, find(panel, "Stop").disabled) == (False, True)

    pressed(script, monkeypatch)


# --- what the presets claim


def test_live_runs_are_what_was_recorded_but_for_the_seed() -> None:
    for name in RUNS.values():
        stored = json.loads((curves.CURVES / f"{name}.json").read_text())
        assert json.loads(json.dumps(curves.recorded_experiment(name).config.__dict__)) == stored["config"]
        assert max(stored["seeds"]) < live_run.FIRST_SEED


def test_presets_finish_in_time_where_they_were_recorded_and_one_does_not() -> None:
    for name, values in PRESETS.items():
        seconds = live_run.recording(values["run"]).wall_time
        assert seconds is not None
        assert (seconds.min() < values["deadline"]) == ("too few" not in name)
    assert {values["run"] for values in PRESETS.values()} == set(RUNS)
