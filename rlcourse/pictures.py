"""Pictures of what agents did and what was recorded: one function each, with the same facts in its text."""

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from IPython.display import Markdown
from jaxtyping import Bool, Float
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from rlcourse.curves import Curve, Estimate, digits, mean_band, mean_estimate, reference
from rlcourse.curves import compare_to_reference as compare
from rlcourse.envs import Road, TreeAhead
from rlcourse.goals_reached import EPISODES, Arrivals
from rlcourse.multi_goal import MultiGoal
from rlcourse.two_ways import TwoWays, left_of
from rlcourse.widgets import scene as scenes
from rlcourse.widgets.still import COLORS, Still


@dataclass(frozen=True)
class History:
    """What `watch` saw: `(step, return)` of every finished episode, and of every evaluation its mean return.

    `kept` has `(step, value)` of every update, for each of the metrics that `watch` was told to keep.
    """

    episodes: Float[np.ndarray, "episodes 2"]
    evaluations: Float[np.ndarray, "evaluations 2"]
    kept: Mapping[str, Float[np.ndarray, "updates 2"]] = field(default_factory=dict)


def learning_curve(finished: list[tuple[float, float]], steps: int, goal: float | None, window: int) -> Still:
    step, returns = np.array(finished).reshape(-1, 2).T
    width = min(window, max(len(returns), 1))
    mean = np.convolve(returns, np.ones(width) / width, mode="valid") if len(returns) else returns

    def draw(figure: Figure) -> None:
        ax = figure.add_axes((0.08, 0.17, 0.63, 0.74))
        ax.plot(step, returns, ".", color=COLORS[5], markersize=3, alpha=0.5, rasterized=True)
        ax.plot(step[width - 1 :], mean, color=COLORS[0], label=f"mean of {width} episodes")
        if goal is not None:
            ax.axhline(goal, color=COLORS[1], linestyle="--", linewidth=1.5, label=f"goal {goal:g}")
        ax.set(xlabel="environment step", title="return of each episode", xlim=(0, steps))
        ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))  # a curve may go anywhere inside

    latest = f"; mean of the last {width}: {mean[-1]:.1f}" if len(mean) else ""
    return Still(draw, f"Return of {len(returns)} episodes{latest}.", size=(11, 3))


def curves(
    runs: Mapping[str, Float[np.ndarray, "seeds points"]],
    x: np.ndarray,
    xlabel: str,
    title: str,
    log: bool = False,
    ylim: tuple[float, float] | None = None,
    ends: bool = True,
) -> Still:
    """Draw one line per entry, the mean over its seeds, in a band from the lowest to the highest seed.

    If every entry has a single row, the curves are exact and seeds are not mentioned. For shares pass `ylim = (0, 1)`,
    or 5 % would look like success. Where the last value says nothing, as of noise, pass `ends = False`.
    """
    exact = all(len(seeds) == 1 for seeds in runs.values())
    heading = ("at the end" if exact else "mean at the end") if ends else None

    def draw(figure: Figure) -> None:
        ax = figure.add_axes((0.08, 0.17, 0.63, 0.72))
        for color, style, (name, seeds) in zip(
            COLORS, ("-", "--", "-.", ":", "-", "--", "-."), runs.items(), strict=False
        ):
            label = f"{name}: {digits(seeds[:, -1].mean())}" if ends else name
            ax.plot(x, seeds.mean(0), color=color, linestyle=style, label=label)
            ax.fill_between(x, seeds.min(0), seeds.max(0), color=color, alpha=0.2, linewidth=0)
        ax.set(xlabel=xlabel, title=title, yscale="log" if log else "linear", ylim=ylim)
        ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), title=heading)

    words = "; ".join(
        (
            f"{name} ends at {digits(seeds[:, -1].mean())}"
            if ends
            else f"{name} lies between {digits(seeds.min())} and {digits(seeds.max())}"
        )
        + ("" if exact else f", {len(seeds)} seeds")
        for name, seeds in runs.items()
    )
    what = f"{title} over {xlabel}" + ("" if exact else ", mean and range over seeds")
    return Still(draw, f"{what}. {words}.", size=(11, 3.6))


def plot_each_seed(agents: Mapping[str, Curve], title: str) -> Still:
    """Draw every recorded seed as a line of its own, with a panel for each entry; all panels have the same axes."""

    def draw(figure: Figure) -> None:
        panels: list[Any] = []
        for column, (name, curve) in enumerate(agents.items()):
            ax = figure.add_axes((0.07 + 0.93 * column / len(agents), 0.17, 0.93 / len(agents) - 0.04, 0.72))
            ax.plot(curve.step, curve.returns.T, marker=".", color=COLORS[0], linewidth=1, alpha=0.7)
            ax.set(xlabel=curve.unit, title=f"{title}, {name}")
            ax.locator_params(axis="x", nbins=4)
            panels.append(ax)
        ends = [ax.get_ylim() for ax in panels]
        for ax in panels:
            ax.set_ylim(min(low for low, _ in ends), max(high for _, high in ends))

    words = "; ".join(
        f"{name}: {len(curve.returns)} seeds end between {digits(curve.returns[:, -1].min())} and "
        f"{digits(curve.returns[:, -1].max())}"
        for name, curve in agents.items()
    )
    return Still(draw, f"{title}, every seed for itself. {words}.", size=(11, 3.4))


def plot_passing(clones: Mapping[str, Any]) -> Still:
    """Draw what clones of two drivers have learned about passing a tree (`envs.TreeAhead`)."""
    trees, places = np.linspace(-0.4, 0.4, 41), np.linspace(-1.2, 1.2, 121)
    grid = torch.as_tensor(np.stack(np.meshgrid(trees, places), -1), dtype=torch.float32)

    def draw(figure: Figure) -> None:
        for column, (name, clone) in enumerate(clones.items()):
            ax = figure.add_axes((0.055 + 0.325 * column, 0.17, 0.28, 0.72))
            with torch.inference_mode():
                output = clone.policy(grid[..., :1])
                if not isinstance(output, torch.Tensor):  # a mixture, the page's own or a copy's
                    density = output.log_prob(grid[..., 1:]).exp().numpy()
                    ax.pcolormesh(trees, places, density, cmap="Blues", vmax=2 * density.max(), shading="gouraud")
                    best = output.mode[0, :, 0]
                else:
                    best = output[0, :, 0]
            ax.plot(*clone.demonstrations.tensors(), ".", color=COLORS[1], markersize=2.5, alpha=0.5, rasterized=True)
            ax.plot([], [], "o", color=COLORS[1], markersize=5, label="demonstrations")
            ax.plot(trees, best, "s", color=COLORS[6], markersize=3.5, label="what the clone does")
            for side in (-TreeAhead.CLEAR, TreeAhead.CLEAR):
                label = "in between: a tree" if side > 0 else None
                ax.plot(trees, trees + side, color=COLORS[2], linewidth=1.5, label=label)
            ax.set(title=name, xlabel="place of the tree", ylim=(-1.2, 2.1), xlim=(-0.4, 0.4))
            ax.set_yticks([-1, 0, 1])
            ax.legend(frameon=False, loc="upper left", fontsize=11)
        figure.axes[0].set_ylabel("place to pass")

    hits = "; ".join(f"{name}: {100 * _hits(clone):.0f} %" for name, clone in clones.items())
    return Still(draw, f"Passing a tree like two drivers. Share of actions that hit it: {hits}.", size=(13, 4))


def _hits(clone: Any) -> float:
    """The probability of hitting the tree, over trees drawn evenly; mixtures are sampled."""
    tree = torch.linspace(-0.4, 0.4, 4001)[:, None]
    with torch.inference_mode():
        output = clone.policy(tree)
        action = output if isinstance(output, torch.Tensor) else output.sample(torch.Generator().manual_seed(0))
    return float(((action - tree).abs() <= TreeAhead.CLEAR).float().mean())


def plot_drives(env: gym.Env, drivers: Mapping[str, Callable[[np.ndarray], np.ndarray]], seed: int) -> Still:
    """Draw several drivers' ways on the same road (`envs.Road`): from above, and as offsets from its centre line."""
    road, tracks = env.unwrapped, {}
    assert isinstance(road, Road)
    for name, driver in drivers.items():
        obs, _ = env.reset(seed=seed)
        track, terminated, truncated = [(0.0, 0.0)], False, False
        while not (terminated or truncated):
            obs, _, terminated, truncated, info = env.step(driver(obs))
            track.append((info["distance"], info["offset"]))
        tracks[name] = np.array(track), terminated
    end = max(float(track[-1, 0]) for track, _ in tracks.values())

    def draw(figure: Figure) -> None:
        left, right = (figure.add_axes(box) for box in ((0.01, 0.03, 0.37, 0.9), (0.46, 0.16, 0.53, 0.75)))
        along = np.linspace(0, end, 500)
        edges = [np.stack(on_map(road, along, np.full(500, side))) for side in (-1.0, 1.0)]
        left.fill(*np.concatenate([edges[0], edges[1][:, ::-1]], 1), color="#dddddd", linewidth=0)
        left.set(title="from above", aspect="equal")
        left.axis("off")
        for side in (-1, 1):
            right.axhline(side, color="#777777", linewidth=3)
        for color, style, (name, (track, terminated)) in zip(COLORS, ("-", "--", "-."), tracks.items(), strict=False):
            left.plot(*on_map(road, *track.T), style, color=color)
            right.plot(*track.T, style, color=color, label=f"{name}: {len(track) - 1} steps")
            if terminated:
                left.plot(*on_map(road, *track[-1:].T), "X", color=color, markersize=12)
                right.plot(*track[-1], "X", color=color, markersize=12)
        right.set(xlabel="distance along the road", title="offset from the centre line")
        right.set(xlim=(0, end), ylim=(-1.3, 2.3), yticks=(-1, 0, 1))
        right.legend(frameon=False, loc="upper left", ncols=2)

    words = "; ".join(
        f"{name} {'leaves it after' if terminated else 'stays on it for'} {len(track) - 1} steps"
        for name, (track, terminated) in tracks.items()
    )
    return Still(draw, f"A winding road: {words}.", size=(13, 4))


def on_map(
    road: Road, distance: Float[np.ndarray, " N"], offset: Float[np.ndarray, " N"]
) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """Places given by their distance along this episode's road and their offset from it, as x and y."""
    along = np.linspace(0, max(float(distance.max()), 1e-3), 2000)
    turned = np.cos(road.phase) - np.cos(road.frequency * along[:, None] + road.phase)
    heading = (road.BEND / road.frequency * turned).sum(-1)
    step = along[1]
    x, y = (np.interp(distance, along, step * (np.cumsum(part) - part)) for part in (np.cos(heading), np.sin(heading)))
    direction = np.interp(distance, along, heading)
    return x - offset * np.sin(direction), y + offset * np.cos(direction)


def plot_walks(clones: Mapping[str, Any], walks: int, seed: int) -> Still:
    """Draw how each walker gets round the first tree in `envs.TwoWays`, turned so that every way leads to the right.

    Args:
        clones: agents, or functions from an observation to an action.
        walks: of each, from seed `seed` on.
    """
    ways = {name: [_first_way(clone, seed + i) for i in range(walks)] for name, clone in clones.items()}

    def draw(figure: Figure) -> None:
        for column, (name, each) in enumerate(ways.items()):
            ax = figure.add_axes((0.01 + 0.99 * column / len(ways), 0.03, 0.99 / len(ways) - 0.01, 0.85))
            ax.add_patch(Circle((0, 0), TwoWays.TREE, color=COLORS[2], alpha=0.4))
            for way, arrived in each:
                ax.plot(*way.T, color=COLORS[0] if arrived else COLORS[1], linewidth=1, alpha=0.7)
                if not arrived:
                    ax.plot(*way[-1], "X", color=COLORS[1], markersize=7)
            ax.plot((-1, 1), (0, 0), "o", color=COLORS[6], markersize=5)
            ax.set(title=f"{name}: {_arrivals(each)} of {walks}", aspect="equal", xlim=(-1.3, 1.3), ylim=(-1, 1))
            ax.axis("off")

    words = "; ".join(f"{name}: {_arrivals(each)} of {walks}" for name, each in ways.items())
    return Still(draw, f"Walks round a tree, from the left to the right, and how many arrive. {words}.", (13, 3))


def _first_way(clone: Any, seed: int) -> tuple[Float[np.ndarray, "T 2"], bool]:
    """Places on the way to the first goal, as seen from the tree, the goal at (1, 0); and whether it gets there."""
    env, ahead = gym.make("rlcourse/TwoWays-v0"), TwoWays.AHEAD
    turned = np.stack([ahead, left_of(ahead)])
    obs, _ = env.reset(seed=seed)
    way, reward, over = [-turned @ obs], 0.0, False
    while not (reward or over):
        action = clone.act(obs, explore=False) if hasattr(clone, "act") else clone(obs)
        obs, paid, terminated, truncated, _ = env.step(action)
        way.append(way[-1] + TwoWays.SPEED * turned @ action)
        reward, over = float(paid), terminated or truncated
    return np.array(way), reward > 0


def _arrivals(ways: list[tuple[np.ndarray, bool]]) -> int:
    return sum(arrived for _, arrived in ways)


def roc(score: Float[np.ndarray, " N"], needed: Bool[np.ndarray, " N"]) -> tuple[np.ndarray, np.ndarray]:
    """Whether a score tells when help is needed: for each threshold, from the highest score down, two shares.

    Returns:
        Of the moments in which no help is needed the share with an alarm; and of those in which it is. Both begin with
        0, above every score. The area under them is ½ if the score says nothing, and 1 if a threshold tells all.
    """
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))  # equal scores are one threshold
    false, true = (np.append(0.0, np.cumsum(each[order])[last] / each.sum()) for each in (~needed, needed))
    return false, true


def watched(
    env: gym.Env, score: Callable[[np.ndarray], float], clone: Any, episodes: int, seed: int, within: int
) -> tuple[Float[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
    """Let a clone act: a score of each step, and whether help was needed, as the clone fails in the next `within`."""
    scores, needed = list[float](), list[bool]()
    for episode in range(episodes):
        obs, _ = env.reset(seed=seed + episode)
        steps, terminated, truncated = 0, False, False
        while not (terminated or truncated):
            scores.append(float(score(obs)))
            obs, _, terminated, truncated, _ = env.step(clone.act(obs, explore=False))
            steps += 1
        needed += [terminated and steps - step <= within for step in range(steps)]
    return np.array(scores), np.array(needed)


def plot_roc(cases: Mapping[str, tuple[Float[np.ndarray, " N"], Bool[np.ndarray, " N"]]]) -> Still:
    """Draw how well signals tell when help is needed; `cases` hold scores and whether it was needed, see `watched`."""
    curves = {name: roc(*case) for name, case in cases.items()}
    areas = {name: float(np.trapezoid(true, false)) for name, (false, true) in curves.items()}

    def draw(figure: Figure) -> None:
        ax = figure.add_axes((0.09, 0.15, 0.4, 0.75))
        for color, style, (name, (false, true)) in zip(COLORS, ("-", "--", "-.", ":"), curves.items(), strict=False):
            ax.plot(100 * false, 100 * true, style, color=color, label=f"{name}: {areas[name]:.2f}")
        ax.plot((0, 100), (0, 100), ":", color=COLORS[6], linewidth=1, label="a coin: 0.50")
        ax.set(xlabel="false alarms, in percent", title="help foreseen, in percent")
        ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), title="area under the curve")

    words = "; ".join(f"{name}: {area:.2f}" for name, area in areas.items())
    return Still(draw, f"How well signals tell when help is needed: area under the curve. {words}.", size=(9, 4))


def compare_to_reference(history: History, name: str) -> Still | Markdown:
    """Draw the run's evaluations among the recorded seeds, and print in words where they lie.

    A run that was stopped before its first evaluation (see `loop.evaluated`) has nothing to draw: it says so.

    Raises:
        ValueError: the run was evaluated at none of the reference's steps.
    """
    if not len(history.evaluations):
        return Markdown("*There is nothing to compare yet: let the cell that trains run to its first evaluation.*")
    recorded = reference(name)
    own = Curve(history.evaluations[:, 0].astype(int), history.evaluations[None, :, 1])
    words = compare(own, recorded).words
    print(textwrap.fill(words, 100))  # JupyterLab breaks long lines in the middle of a word

    def draw(figure: Figure) -> None:
        ax = figure.add_axes((0.08, 0.17, 0.62, 0.74))
        ax.plot(recorded.step, recorded.returns.T, color=COLORS[5], linewidth=0.7, alpha=0.6)
        ax.fill_between(recorded.step, *recorded.band, color=COLORS[0], alpha=0.25, linewidth=0)
        ax.plot(
            recorded.step, recorded.mean, color=COLORS[0], label=f"mean of {len(recorded.returns)} seeds, 95 % band"
        )
        ax.plot(*history.evaluations.T, "o-", color=COLORS[1], label="this run")
        ax.set(xlabel=recorded.unit, title="return without exploration")
        if min(recorded.returns.min(), own.returns.min()) >= 0:
            ax.set_ylim(0, None)
        ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))

    return Still(draw, words, size=(11, 3.4))


def estimates(rows: Mapping[str, Estimate], title: str, mark: float) -> Still:
    """Draw a point in its 95 % interval for each row, from the top down, and a line at `mark` to compare them with."""

    def draw(figure: Figure) -> None:
        ax = figure.add_axes((0.3, 0.5 / height, 0.4, 1 - 0.9 / height))
        ax.axvline(mark, color=COLORS[6], linestyle=":", linewidth=1.5)
        for number, estimate in enumerate(rows.values()):
            ax.plot((estimate.low, estimate.high), (number, number), color=COLORS[0])
            ax.plot(estimate.value, number, "o", color=COLORS[0])
            ax.text(1.03, number, str(estimate), transform=ax.get_yaxis_transform(), va="center")
        ax.set(title=title, yticks=range(len(rows)), yticklabels=rows, ylim=(len(rows) - 0.5, -0.5))
        ax.locator_params(axis="x", nbins=6)

    height = 1 + 0.35 * len(rows)
    ends = "; ".join(f"{name}: {estimate}" for name, estimate in rows.items())
    return Still(draw, f"{title}, with 95 % intervals. {ends}.", size=(11, height))


def plot_arrivals(agents: Mapping[str, Arrivals]) -> Still:
    """Draw where each trained agent's walks end in `MultiGoal`: a bar for each seed, above without a wall."""

    def draw(figure: Figure) -> None:
        for column, (name, arrivals) in enumerate(agents.items()):
            for row, (what, counts) in enumerate({"no wall": arrivals.open, "wall": arrivals.walled}.items()):
                box = 0.08 + 0.78 * column / len(agents), 0.56 - 0.45 * row, 0.78 / len(agents) - 0.025, 0.36
                ax: Any = figure.add_axes(box)
                ends = np.cumsum(100 * counts / EPISODES, axis=1).T
                for goal, (low, high) in enumerate(pairwise([0 * ends[0], *ends])):
                    ax.bar(range(len(low)), high - low, bottom=low, color=COLORS[goal], label=MultiGoal.NAMES[goal])
                ax.set(ylim=(0, 100), xticks=range(len(counts)), xticklabels=[""] * len(counts))
                ax.set(yticks=(0, 50, 100), yticklabels=("0 %", "50 %", "100 %") if column == 0 else ("", "", ""))
                ax.set(title="" if row else name, xlabel="a bar for each seed" if row else "")
                if column == 0:
                    ax.set_ylabel(what)
        figure.legend(*ax.get_legend_handles_labels(), frameon=False, loc="center left", bbox_to_anchor=(0.86, 0.5))

    words = "; ".join(
        f"{name}: {100 * arrivals.shares[0].mean():.0f} % arrive without the wall, with it "
        f"{100 * arrivals.shares[1].mean():.0f} %, and {arrivals.used.mean():.1f} goals are in use"
        for name, arrivals in agents.items()
    )
    return Still(draw, f"Walks that end in each goal, of {EPISODES} for each seed, means. {words}.", size=(11, 4.4))


def bias(agents: Mapping[str, Curve]) -> Still:
    """Draw what critics believe of their own actions and what these actions return, over training; and the difference.

    The left panel shows means over seeds, the right one the mean difference in its 95 % band: above 0 the critics
    overestimate.
    """

    def draw(figure: Figure) -> None:
        values, difference = figure.add_axes((0.06, 0.17, 0.31, 0.74)), figure.add_axes((0.43, 0.17, 0.31, 0.74))
        difference.axhline(0, color=COLORS[6], linestyle=":", linewidth=1.5)
        for color, (name, curve) in zip(COLORS, agents.items(), strict=False):
            assert curve.believed is not None  # else its bias has been refused above
            assert curve.truth is not None
            values.plot(curve.step, curve.believed.mean(0), color=color)
            values.plot(curve.step, curve.truth.mean(0), color=color, linestyle="--")
            label = f"{name}\n{ends[name]}"
            difference.plot(curve.step, curve.bias.mean(0), color=color, label=label)
            difference.fill_between(curve.step, *mean_band(curve.bias), color=color, alpha=0.2, linewidth=0)
        values.set(xlabel=curve.unit, title="believed (solid), true (dashed)")
        difference.set(xlabel=curve.unit, title="bias: believed − true")
        difference.legend(
            frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), title="mean at the end\n(95 % interval)"
        )

    ends = {name: mean_estimate(curve.bias[:, -1]) for name, curve in agents.items()}
    words = "; ".join(f"{name} {ends[name]} over {len(curve.bias)} seeds" for name, curve in agents.items())
    said = f"Believed minus true return over training; at the end, with 95 % intervals: {words}."
    return Still(draw, said, (11, 3.4))


def efficiency(agents: Mapping[str, Curve], task: str) -> Still:
    """Draw the same recorded returns over environment steps and over seconds, as means and ranges over seeds.

    The seconds are those of the fastest seed, spread evenly over the steps (`Curve.seconds`).
    """

    def draw(figure: Figure) -> None:
        steps, seconds = (figure.add_axes((left, 0.17, 0.31, 0.74)) for left in (0.07, 0.45))
        for color, style, (name, curve) in zip(COLORS, ("-", "--", "-.", ":"), agents.items(), strict=False):
            for ax, x in ((steps, curve.step), (seconds, curve.seconds)):
                ax.plot(x, curve.mean, color=color, linestyle=style, label=f"{name}: {curve.mean[-1]:.0f}")
                ax.fill_between(x, curve.returns.min(0), curve.returns.max(0), color=color, alpha=0.2, linewidth=0)
        steps.locator_params(axis="x", nbins=4)
        steps.set(xlabel="environment step", title=f"{task}: return by steps")
        seconds.set(xlabel="seconds", title="the same by seconds")
        seconds.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), title="at the end")

    ends = "; ".join(
        f"{name} ends at {curve.mean[-1]:.0f} after {curve.step[-1]} steps or {curve.seconds[-1]:.0f} seconds, "
        f"{len(curve.returns)} seed{'' if len(curve.returns) == 1 else 's'}"
        for name, curve in agents.items()
    )
    return Still(draw, f"{task}: return by steps and by seconds, mean and range over seeds. {ends}.", size=(12, 3.6))


class _Drawn(gym.Wrapper):
    """A world that a picture is made of: it remembers what has been observed and done in this episode."""

    metadata: ClassVar[dict[str, Any]] = {"render_fps": 2}  # type: ignore[misc]  # as gymnasium does itself

    def reset(self, **how: Any) -> tuple[Any, dict[str, Any]]:
        obs, info = self.env.reset(**how)
        self._seen, self._done = [obs], list[Any]()
        return obs, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        obs, *outcome = self.env.step(action)
        self._seen.append(obs)
        self._done.append(action)
        return obs, *outcome


class Flips(_Drawn):
    """Bits that are to be flipped, drawn: above as they are, below as they are wanted; wrong ones have a frame."""

    SIDE, EDGE = 48, 6  # pixels: of a bit with its frame; of the frame, and of the gap around it
    ONE, ZERO, WRONG = (tuple(bytes.fromhex(scenes.COLORS[name][1:])) for name in ("ink", "faint", "red"))

    def render(self) -> Any:
        have, want = self._seen[-1][: 2 * self.env.unwrapped.n].reshape(2, -1)  # type: ignore[attr-defined]
        frame = np.full((3 * self.SIDE, (len(have) + 1) * self.SIDE, 3), 255, np.uint8)
        for row, bits in enumerate((have, want)):
            for column, bit in enumerate(bits):
                top, left = (self.SIDE * (np.array([row, column]) + 0.5)).astype(int)
                for inset, color in (
                    (self.EDGE, self.WRONG if have[column] != want[column] and not row else (255,) * 3),
                    (2 * self.EDGE, self.ONE if bit else self.ZERO),
                ):
                    inner = slice(top + inset, top + self.SIDE - inset), slice(left + inset, left + self.SIDE - inset)
                    frame[inner] = color
        return frame


class Walk(_Drawn):
    """`envs.TwoWays` from above, turned so that the walker goes to the right: the way so far, the tree and the goal."""

    metadata: ClassVar[dict[str, Any]] = {"render_fps": 4}  # type: ignore[misc]  # as gymnasium does itself
    SIZE, SCALE, LEFT = (200, 440), 110, 140  # pixels: of the picture, of a unit, and to the left of the walker
    EARTH, TREE, WAY, GOAL = (
        tuple(bytes.fromhex(scenes.COLORS[name][1:])) for name in ("faint", "green", "blue", "orange")
    )

    def render(self) -> Any:
        frame, (down, right) = np.full((*self.SIZE, 3), self.EARTH, np.uint8), np.indices(self.SIZE)
        way = TwoWays.SPEED * np.cumsum([np.zeros(2), *np.clip(self._done, -1, 1)], 0)[-12:]  # what is in the picture
        trees, turned = way + self._seen[-12:], np.stack([TwoWays.AHEAD, left_of(TwoWays.AHEAD)])
        between = [a + share * (b - a) for a, b in pairwise(way) for share in np.linspace(0, 1, 12)]
        middle = np.array([turned[0] @ way[-1], turned[1] @ trees[-1]])  # the view follows the walker, but only ahead
        for place, radius, color in (
            *((each, TwoWays.TREE, self.TREE) for each in trees),
            (trees[-1] + TwoWays.AHEAD, 0.08, self.GOAL),
            *((each, 0.025, self.WAY) for each in between),
            (way[-1], 0.08, self.WAY),
        ):
            along, aside = turned @ place - middle
            x, y = self.LEFT + self.SCALE * along, self.SIZE[0] / 2 - self.SCALE * aside
            frame[(right - x) ** 2 + (down - y) ** 2 < (self.SCALE * radius) ** 2] = color
        frame[:, :4] = 255  # what stands on the left of it is another picture
        return frame
