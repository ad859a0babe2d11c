"""A training run, live, in front of the recorded one; where it fails or takes too long, the recorded one takes over.

The run is a new seed of the very experiment that was recorded (`curves.recorded_experiment`). It trains in a process of
its own: whatever happens there, the page answers, and at the deadline that process is ended. The picture is never
empty, and says at any time which of the two it shows.
"""

import asyncio
import textwrap
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import MappingProxyType
from typing import Any, Literal

import ipywidgets
import numpy as np
import torch
from jaxtyping import Float, Int

from rlcourse import curves, runs
from rlcourse.buffers import Transition
from rlcourse.widgets import presets
from rlcourse.widgets.panel import Panel, choice, slider
from rlcourse.widgets.scene import Axis, Mark, Scene, View, area, around, dots, line, text

LECTURE = "Any lecture"
QUESTION = "What does learning look like while it happens?"

# What to call each, and the recorded curve.
RUNS: Mapping[str, str] = MappingProxyType(
    {
        "PPO on CartPole": "05_lottery_default",
        "DQN on CartPole": "02_cartpole_dqn",
        "TD3 on Pendulum": "06_pendulum_td3",
    }
)
FIRST_SEED = 1_000  # nobody has recorded these
REFRESH = 0.2  # seconds between two pictures
FRAMES = 16  # of an episode, whatever its length: about three seconds
CART = 4  # numbers of an observation: place, speed, angle, its speed; the pendulum has cosine, sine, speed
POLE = 1.0  # long
TRACK = 2.4  # from the middle to where a cart has left it
FALLEN = np.deg2rad(12)  # where CartPole ends an episode
SHORTEST, LONGEST = 5, 180  # deadlines to choose from, in seconds

PRESETS: dict[str, dict[str, Any]] = {
    "PPO learns to balance": {"run": "PPO on CartPole", "deadline": 60},
    "DQN learns to balance": {"run": "DQN on CartPole", "deadline": 60},
    "TD3 learns to swing up": {"run": "TD3 on Pendulum", "deadline": 60},
    "5 seconds, too few: the recorded run takes over": {"run": "DQN on CartPole", "deadline": SHORTEST},
}
Status = Literal["waiting", "running", "finished", "stopped", "recorded"]


@dataclass(frozen=True)
class Film:
    """One training episode.

    Attributes:
        value: its return.
        observations: some of those after each step, the last among them.
    """

    value: float
    observations: tuple[tuple[float, ...], ...]


# What, step, return; an episode to look at; what went wrong; None: finished
Message = tuple[str, int, float] | Film | str | None


@dataclass(frozen=True)
class Live:
    """How a run stands.

    Attributes:
        deadline: seconds after which the recorded run takes over.
        recorded: the seeds that were recorded.
        status: "recorded" where the recorded run has taken over.
        seed: of the live run; None before the first.
        seconds: since it was started.
        episodes, evaluations: so far, `(step, return)`: with exploration, and the mean of an evaluation without.
        reason: why the recorded run has taken over.
        film: the episode that is shown, frame by frame.
        newest: the last episode that has arrived; it is shown next.
        frame: of the film.
    """

    run: str
    deadline: int
    recorded: curves.Curve
    status: Status = "waiting"
    seed: int | None = None
    seconds: float = 0.0
    episodes: tuple[tuple[int, float], ...] = ()
    evaluations: tuple[tuple[int, float], ...] = ()
    reason: str = ""
    film: Film | None = None
    newest: Film | None = None
    frame: int = 0

    @property
    def step(self) -> int:
        """The latest step that a message named."""
        return max((step for step, _ in (*self.episodes[-1:], *self.evaluations[-1:])), default=0)


@cache
def recording(run: str) -> curves.Curve:
    return curves.reference(RUNS[run])


def compute(run: str, deadline: int) -> Live:
    """Before the start: the recorded run alone."""
    return Live(run, deadline, recording(run))


def train(experiment: runs.Experiment, seed: int, out: Connection) -> None:
    """Train, and send a `Message` for every episode and evaluation, then one that says how it ended."""
    try:
        torch.set_num_threads(1)
        env, agent = experiment.make_agent(seed)
        record(agent, out.send)
        for metrics in experiment.train(env, agent, experiment.make_evaluation_env(), seed):
            if "episode_return" in metrics:
                out.send(("episode", metrics["step"], metrics["episode_return"]))
            if "evaluation" in metrics:
                out.send(("evaluation", metrics["step"], float(metrics["evaluation"].mean())))
        out.send(None)
    except Exception as error:  # any: it is told, and the recorded run takes over
        out.send(f"{type(error).__name__}: {error}")


def thin(length: int, most: int) -> Int[np.ndarray, " some"]:
    """Which of so many to keep, the first and the last among them."""
    return np.unique(np.linspace(0, length - 1, most).round().astype(int)) if length else np.zeros(0, int)


def record(agent: Any, send: Callable[[Film], None]) -> None:
    """Have the agent's episodes sent as they end; side by side, those of the first environment."""
    observe, value, observations = agent.observe, 0.0, []

    def look(transition: Transition) -> None:
        nonlocal value
        observe(transition)
        side_by_side = np.ndim(transition.reward) > 0
        reward, seen, terminated, truncated = (
            np.asarray(part)[0] if side_by_side else part
            for part in (transition.reward, transition.next_obs, transition.terminated, transition.truncated)
        )
        value += float(reward)
        observations.append(tuple(np.asarray(seen, float).tolist()))
        if terminated or truncated:
            send(Film(value, tuple(observations[i] for i in thin(len(observations), FRAMES))))
            value = 0.0
            observations.clear()

    agent.observe = look


def advance(live: Live, messages: Iterable[Message], seconds: float) -> Live:
    """The run after these messages, `seconds` after its start."""
    messages = list(messages)
    told = [message for message in messages if isinstance(message, tuple)]
    films = [message for message in messages if isinstance(message, Film)]
    live = next_frame(replace(live, newest=films[-1] if films else live.newest))
    live = replace(
        live,
        seconds=seconds,
        episodes=(*live.episodes, *((step, value) for what, step, value in told if what == "episode")),
        evaluations=(*live.evaluations, *((step, value) for what, step, value in told if what == "evaluation")),
    )
    if None in messages:
        return replace(live, status="finished", film=live.newest, frame=FRAMES)
    if wrong := [message for message in messages if isinstance(message, str)]:
        return replace(live, status="recorded", reason=wrong[0])
    if seconds >= live.deadline:
        return replace(live, status="recorded", reason=f"its {live.deadline} seconds were over at step {live.step}")
    return live


def next_frame(live: Live) -> Live:
    """One frame on; at the end of a film the newest one begins."""
    if live.film is not None and live.frame + 1 < len(live.film.observations):
        return replace(live, frame=live.frame + 1)
    return replace(live, film=live.newest, frame=0)


async def follow(live: Live, show: Callable[[Live], None]) -> None:
    """Train in a process of its own and `show` how it stands, until it has finished or the recorded run takes over.

    Cancelling ends the process at once.
    """
    receiver, sender = get_context("spawn").Pipe(duplex=False)
    began, process = time.monotonic(), None
    try:
        experiment = curves.recorded_experiment(RUNS[live.run])
        process = get_context("spawn").Process(target=train, args=(experiment, live.seed, sender), daemon=True)
        process.start()
        sender.close()  # here: so that the end of the process is the end of the pipe
        while live.status == "running":
            await asyncio.sleep(REFRESH)
            live = advance(live, received(receiver), time.monotonic() - began)
            show(live)
    except Exception as error:  # any: a lecture goes on
        show(replace(live, status="recorded", reason=f"{type(error).__name__}: {error}"))
    finally:
        receiver.close()
        if process is not None and process.pid is not None:
            process.kill()
            process.join()


def received(receiver: Connection) -> Iterable[Message]:
    """What has arrived, without waiting for more."""
    try:
        while receiver.poll():
            yield receiver.recv()
    except EOFError:
        yield "the training process has died"


def verdict(data: Live) -> str:
    """Which run the picture shows, and how it stands, in a sentence."""
    reached = f"{data.evaluations[-1][1]:.0f} at step {data.evaluations[-1][0]}" if data.evaluations else "nothing yet"
    return {
        "waiting": f"Recorded: {len(data.recorded.returns)} seeds. "
        f"Start trains a new one, for at most {data.deadline} seconds",
        "running": f"Live: seed {data.seed}, {data.seconds:.0f} of at most {data.deadline} seconds, {reached}",
        "finished": f"Live: seed {data.seed} has finished in {data.seconds:.0f} seconds, {reached}",
        "stopped": f"Live: seed {data.seed}, stopped by hand after {data.seconds:.0f} seconds, {reached}",
        "recorded": f"Recorded, not live: {textwrap.shorten(data.reason, 100)}",
    }[data.status]


def scene(data: Live) -> Scene:
    return Scene(f"{data.run}. {verdict(data)}.", (curve(data), world(data)))


def curve(data: Live) -> View:
    """The live run in front of the recorded ones."""
    recorded, fallen_back = data.recorded, data.status == "recorded"
    some = thin(len(recorded.step), 80)
    step, returns = recorded.step[some], recorded.returns[:, some]
    color = "blue" if fallen_back else "grey"
    marks: list[Mark] = [
        area(step, returns.min(0), returns.max(0), color, alpha=0.12),
        area(step, recorded.band[0][some], recorded.band[1][some], color, alpha=0.3),
        line(
            step, recorded.mean[some], color, label=whole("recorded:", recorded.mean[-1]), width=4 if fallen_back else 2
        ),
    ]
    if data.episodes:
        x, y = points(data.episodes)[:, thin(len(data.episodes), 200)]
        marks.append(dots(x, y, "red", size=0.15, alpha=0.5))
    if data.evaluations:
        some = thin(len(data.evaluations), 80)
        x, y = points(data.evaluations)
        marks.append(line(x[some], y[some], "red", label=whole("live:", y[-1]), width=3))
        marks.append(dots(x[some], y[some], "red", size=0.25))
    title = f"return: {len(recorded.returns)} recorded seeds" + (", dots: live episodes" if data.episodes else "")
    end = 1.02 * recorded.step[-1]
    up = around(recorded.returns, 0, room=0.05)  # not of the live run, so that the axis stands still while it learns
    return View(Axis(0, end, "environment step"), up, marks, title)


def whole(words: str, value: float) -> str:
    """With a whole number."""
    return f"{words} {value:.0f}".replace("-", "−")


def pose(observation: tuple[float, ...]) -> tuple[float, float]:
    """Where the pole is hinged, and how far it leans to the right from upright, in radians."""
    if len(observation) == CART:
        return observation[0], observation[2]
    cosine, sine, _ = observation
    return 0.0, -float(np.arctan2(sine, cosine))  # the pendulum's angle grows to the left


def world(data: Live) -> View:
    """Cart and pole, or the pendulum: where it is in the episode, and faintly where it was before."""
    on_wheels = "CartPole" in data.run
    film = data.film
    poses = (
        [pose(each) for each in film.observations[: data.frame + 1]] if film else [(0.0, 0.0 if on_wheels else np.pi)]
    )
    feet = np.array([foot for foot, _ in poses])
    lean = np.array([angle for _, angle in poses])
    tops = np.array([feet + POLE * np.sin(lean), POLE * np.cos(lean)])
    past = len(poses) - 1
    gaps = np.full(past, np.nan)
    marks: list[Mark] = [
        line(
            np.column_stack([feet[:past], tops[0, :past], gaps]).ravel(),
            np.column_stack([np.zeros(past), tops[1, :past], gaps]).ravel(),
            "faint",
            width=3,
        )
    ]
    foot, top = feet[-1], tops[:, -1]
    if on_wheels:
        wide, deep = 0.3, 0.16
        marks += [
            line([-TRACK, TRACK], [-deep, -deep], "grey"),
            area([foot - wide, foot + wide], [-deep, -deep], [0, 0], "ink", alpha=1),
        ]
    marks += [
        line([foot, top[0]], [0, top[1]], "red" if film else "grey", width=9),
        dots([foot], [0], "ink", size=0.35, names=["hinge"]),
    ]
    title = whole("a training episode: return", film.value) if film else "no episode yet"
    if film and data.frame + 1 >= len(film.observations) and on_wheels and abs(lean[-1]) > FALLEN:
        marks.append(text([0], [1.25], ["it fell"], "red", size=1.3, bold=True))
    # The track has room above and below, so that the cart stands half-way up, beside the curve.
    wide, low, high = (TRACK, -1.4, 2.0) if on_wheels else (1.3, -1.3, 1.4)
    return View(Axis(-wide, wide, ticks={}), Axis(low, high, ticks={}), marks, title, equal=True)


def points(pairs: tuple[tuple[int, float], ...]) -> Float[np.ndarray, "2 N"]:
    return np.array(pairs, float).reshape(-1, 2).T


def describe(data: Live) -> str:
    recorded = data.recorded
    return (
        f"{data.run}. {verdict(data)}. Recorded: {len(recorded.returns)} seeds end at "
        f"{recorded.mean[-1]:.0f} on average, between {recorded.returns[:, -1].min():.0f} and "
        f"{recorded.returns[:, -1].max():.0f}, after {recorded.step[-1]} steps."
    )


@presets.offered(PRESETS)
def widget(values: presets.Values) -> Panel:
    """Choose a run, start it, stop it, start another; moving a control ends the one that is under way."""
    controls = {
        "run": choice(values["run"], list(RUNS), "run"),
        "deadline": slider(values["deadline"], SHORTEST, LONGEST, 5, "deadline [s]"),
    }
    start = ipywidgets.Button(description="Start", layout={"width": "90px"})
    stop = ipywidgets.Button(description="Stop", disabled=True, layout={"width": "90px"})
    panel = Panel(compute, scene, describe, controls, rows=[[*controls.values(), start, stop]])
    seeds, task, latest = count(FIRST_SEED), None, compute(values["run"], values["deadline"])

    def show(live: Live) -> None:
        nonlocal latest
        latest = live
        start.disabled, stop.disabled = live.status == "running", live.status != "running"
        panel.say(verdict(live) if live.status == "recorded" else "")
        panel.show(live)

    def begin(_: Any) -> None:
        nonlocal task
        abandon()  # a double click begins twice
        show(replace(compute(**panel.values), status="running", seed=next(seeds)))
        task = asyncio.get_running_loop().create_task(follow(latest, show))

    def end(_: Any) -> None:
        abandon()
        show(replace(latest, status="stopped"))

    def abandon(_: Any = None) -> None:
        start.disabled, stop.disabled = False, True
        if task is not None:
            task.cancel()

    start.on_click(begin)
    stop.on_click(end)
    for control in controls.values():
        control.observe(abandon, "value")
    return panel
