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
from jaxtyping import Float
from matplotlib.figure import Figure

from rlcourse import curves, runs
from rlcourse.widgets import presets
from rlcourse.widgets.oldpanel import Panel
from rlcourse.widgets.still import COLORS

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
REFRESH = 1.0  # seconds between two pictures
SHORTEST, LONGEST = 5, 180  # deadlines to choose from, in seconds

PRESETS: dict[str, dict[str, Any]] = {
    "PPO learns to balance": {"run": "PPO on CartPole", "deadline": 60},
    "DQN learns to balance": {"run": "DQN on CartPole", "deadline": 60},
    "TD3 learns to swing up": {"run": "TD3 on Pendulum", "deadline": 60},
    "5 seconds, too few: the recorded run takes over": {"run": "DQN on CartPole", "deadline": SHORTEST},
}
Status = Literal["waiting", "running", "finished", "stopped", "recorded"]
Message = tuple[str, int, float] | str | None  # what, step, return; what went wrong; None: finished


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

    @property
    def step(self) -> int:
        """The last that was heard of."""
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
        for metrics in experiment.train(env, agent, experiment.make_evaluation_env(), seed):
            if "episode_return" in metrics:
                out.send(("episode", metrics["step"], metrics["episode_return"]))
            if "evaluation" in metrics:
                out.send(("evaluation", metrics["step"], float(metrics["evaluation"].mean())))
        out.send(None)
    except Exception as error:  # any: it is told, and the recorded run takes over
        out.send(f"{type(error).__name__}: {error}")


def advance(live: Live, messages: Iterable[Message], seconds: float) -> Live:
    """The run after these messages, `seconds` after its start."""
    messages = list(messages)
    told = [message for message in messages if isinstance(message, tuple)]
    live = replace(
        live,
        seconds=seconds,
        episodes=(*live.episodes, *((step, value) for what, step, value in told if what == "episode")),
        evaluations=(*live.evaluations, *((step, value) for what, step, value in told if what == "evaluation")),
    )
    if None in messages:
        return replace(live, status="finished")
    if wrong := [message for message in messages if isinstance(message, str)]:
        return replace(live, status="recorded", reason=wrong[0])
    if seconds >= live.deadline:
        return replace(live, status="recorded", reason=f"its {live.deadline} seconds were over at step {live.step}")
    return live


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


def draw(figure: Figure, data: Live) -> None:
    recorded, fallen_back = data.recorded, data.status == "recorded"
    ax = figure.add_axes((0.06, 0.16, 0.66, 0.7))
    color = COLORS[0] if fallen_back else "#777777"
    ax.plot(recorded.step, recorded.returns.T, color=color, linewidth=0.7, alpha=0.4)
    ax.fill_between(recorded.step, *recorded.band, color=color, alpha=0.3, linewidth=0)
    label = f"recorded: mean of {len(recorded.returns)} seeds,\n95 % band: {recorded.mean[-1]:.0f} at the end"
    ax.plot(recorded.step, recorded.mean, color=color, linewidth=4 if fallen_back else 2, label=label)
    if data.episodes or data.evaluations:
        ax.plot(*points(data.episodes), ".", color=COLORS[1], markersize=3, alpha=0.5, rasterized=True)
        ax.plot(*points(data.evaluations), "o-", color=COLORS[1], label=f"live: seed {data.seed}")
        ax.plot([], [], ".", color=COLORS[1], alpha=0.5, label="its episodes, exploring")
    low, high = min(0.0, float(recorded.returns.min())), max(0.0, float(recorded.returns.max()))
    margin = 0.05 * (high - low)
    # From the recording alone, so that the axes stand still while it learns.
    ax.set(xlim=(0, 1.02 * recorded.step[-1]), ylim=(low - margin, high + margin))
    ax.set(xlabel="environment step", ylabel="return")
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.text(
        0.06,
        0.9,
        f"{data.run}. {verdict(data)}",
        color=COLORS[1] if data.status in ("running", "finished") else COLORS[6],
        weight="bold",
        fontsize=13,
    )


def points(pairs: tuple[tuple[int, float], ...]) -> Float[np.ndarray, "2 N"]:
    return np.array(pairs, float).reshape(-1, 2).T


def describe(data: Live) -> str:
    recorded = data.recorded
    return (
        f"{data.run}. {verdict(data)}. Recorded: {len(recorded.returns)} seeds end at "
        f"{recorded.mean[-1]:.0f} on average, between {recorded.returns[:, -1].min():.0f} and "
        f"{recorded.returns[:, -1].max():.0f}, after {recorded.step[-1]} steps."
    )


@presets.checked
def widget(preset: str = next(iter(PRESETS)), **changes: Any) -> Panel:
    """Choose a run, start it, stop it, start another; moving a control ends the one that is under way.

    Args:
        preset: one of `PRESETS`, where the controls start.
        changes: values of controls, by `compute`'s names, that differ from the preset's.

    Raises:
        ValueError: the preset or the name of a control is unknown, or a value is none that it takes.
    """
    values = presets.start(PRESETS, preset, changes)
    wide = {"style": {"description_width": "90px"}, "layout": {"width": "330px"}}
    make = ipywidgets
    controls = {
        "run": make.Dropdown(options=list(RUNS), value=values["run"], description="run", **wide),
        "deadline": make.IntSlider(
            value=values["deadline"], min=SHORTEST, max=LONGEST, step=5, description="deadline [s]", **wide
        ),
    }
    start = make.Button(description="Start", layout={"width": "90px"})
    stop = make.Button(description="Stop", disabled=True, layout={"width": "90px"})
    panel = Panel(compute, draw, describe, controls, size=(13, 4.1), rows=[[*controls.values(), start, stop]])
    seeds, task, latest = count(FIRST_SEED), None, compute(values["run"], values["deadline"])

    def show(live: Live) -> None:
        nonlocal latest
        latest = live
        start.disabled, stop.disabled = live.status == "running", live.status != "running"
        panel.say(verdict(live) if live.status == "recorded" else "")
        panel.show(live)

    def begin(_: Any) -> None:
        nonlocal task
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
    return presets.attach(panel, PRESETS)
