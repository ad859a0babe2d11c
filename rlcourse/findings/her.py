"""Lecture 8: how far hindsight goes on BitFlip, strategies and k, shaping and the maze, and four robots."""

import json
from functools import cache

import numpy as np
from IPython.display import Markdown

from rlcourse import envs
from rlcourse.curves import CURVES, Curve, Estimate, recorded_experiment, reference
from rlcourse.findings import quoted
from rlcourse.findings.phrases import at, finding, gains, interval, number, percent, reached, seeds, summed, table
from rlcourse.runs import EVALUATION_SEED

HINDSIGHT = {n: f"08_bits{n}_her" for n in (10, 15, 25)}
PLAIN = {n: f"08_bits{n}_plain" for n in (5, 10, 15)}
PATIENT = "08_bits10_plain_long"
STRATEGIES = {
    "final, k = 4": "08_bits15_final",
    "episode, k = 4": "08_bits15_episode",
    "random, k = 4": "08_bits15_random",
    "future, k = 1": "08_bits15_k1",
    "future, k = 8": "08_bits15_k8",
}
MAZE = {
    "with hindsight": "08_maze_her",
    "with the sparse reward alone": "08_maze_plain",
    "with minus the distance": "08_maze_dense",
}
ROBOTS = {
    "pushing": "08_push_her",
    "pushing, early": "08_push_early",
    "pushing without hindsight": "08_push_plain",
    "sliding": "08_slide_her",
    "picking and placing": "08_pick_her",
}
SHORT = 15_000  # steps of the live run
MOST = 0.9  # the share of episodes that counts as learned on BitFlip and for pushing
REACHED = 0.95  # and for reaching
FEW = 0.05  # the share that does not stand out from none
FRESH = 400  # episodes whose starts are looked at
NEAR, ON_TABLE = 0.5, 0.5  # decimetres: within the goal; so little above the table that pushing is enough


def first(curve: Curve, share: float) -> list[float]:
    """The step of each seed's first evaluation of `share` or more; infinite where there is none."""
    return [float(curve.step[one.argmax()]) if one.any() else np.inf for one in curve.returns >= share]


def steps(numbers: list[float]) -> str:
    return ", ".join("never" if step == np.inf else number(step) for step in numbers)


def bits() -> Markdown:
    rows, curves = [], []
    for how, files in (("with hindsight", HINDSIGHT), ("without", PLAIN)):
        for n, file in files.items():
            curve = reference(file)
            curves.append(curve)
            rows.append((how, n, len(curve.returns), percent(curve.returns[:, at(curve, SHORT)])))
    few, many = (reference(HINDSIGHT[n]) for n in (10, 25))
    learned = [curve.step[(curve.mean >= MOST).argmax()] for curve in (few, many)]
    run = recorded_experiment(HINDSIGHT[25])
    updates = (run.steps - run.config.learning_starts) // run.config.train_every * run.config.updates
    patient = reference(PATIENT)
    noticed = (patient.returns.max(0) > FEW).argmax()  # the first evaluation in which a seed stands out
    return finding(
        f"With hindsight the work grows far more slowly than $2^n$. From 10 to 25 bits the number of goals becomes "
        f"{number(2**15)} times as large. The steps until the mean reaches {100 * MOST:.0f} % go from "
        f"{number(learned[0])} to {number(learned[1])}.",
        f"There are {seeds(*curves)} each, and this world is easy in one respect: the same rule, to flip the bits that "
        "differ, holds for all goals.",
        table(("", "bits n", "seeds", f"success after {number(SHORT)} steps (range over seeds)"), rows),
        f"At n = 25 the success is {percent(many.returns[:, -1])} after {number(many.step[-1])} steps, which hold "
        f"{number(updates)} gradient steps and at least {number(run.steps // 25)} episodes.",
        f"Without hindsight many more steps help in the end. At n = 10, {reached(patient, 1)} seeds succeed in every "
        f"episode after {number(patient.step[-1])} steps. Nothing announces it: up to step "
        f"{number(patient.step[noticed - 1])} no seed succeeds in more than {100 * FEW:.0f} %. So the largest "
        f"n that can be learned depends on the budget. In the paper it is {quoted.HER_PLAIN} "
        f"[{quoted.HER_PLAIN.source}].",
        f"The network must learn one comparison for each bit. In the paper DQN with hindsight still succeeds at n = "
        f"{quoted.HER_HINDSIGHT} [{quoted.HER_HINDSIGHT.source}].",
    )


def against_future() -> dict[str, Estimate]:
    """Success gained over the run against *future* with k = 4, in percentage points."""
    whole, curves = reference(HINDSIGHT[15]), {name: reference(file) for name, file in STRATEGIES.items()}
    length = min(len(curve.step) for curve in curves.values())
    future = Curve(whole.step[:length], whole.returns[:, :length])
    return {name: points(curve.gain(future)) for name, curve in curves.items()}


def points(gain: Estimate) -> Estimate:
    return Estimate(100 * gain.value, 100 * gain.low, 100 * gain.high)


def strategies() -> Markdown:
    head = (seeds(*(reference(file) for file in STRATEGIES.values())) + " each", "percentage points gained")
    estimates = against_future()
    return finding(
        f"Compared with *future, k = 4*, {summed(estimates)}.",
        "These are few seeds in one world. A choice that is not resolved here may matter on a robot.",
        gains(estimates, head),
        "On a robot *random* has another weakness: most of its goals are the place where the block rests.",
    )


def shaping() -> Markdown:
    hindsight, dense = reference(HINDSIGHT[15]), reference("08_bits15_dense")
    gain = points(dense.gain(hindsight))
    reached = ", ".join(
        f"{(reference(file).returns[:, -1] == 1).sum()} of {len(reference(file).returns)} seeds {how}"
        for how, file in MAZE.items()
    )
    return finding(
        "On BitFlip with n = 15 shaping works, and hindsight is faster. In the maze shaping misleads: in the end the "
        f"goal is reached by {reached}.",
        "Hindsight helps where successes are too rare. In this maze they are not: plain DQN finds the goal, too.",
        f"**BitFlip.** At the end the success with minus the number of wrong bits is "
        f"{percent(dense.returns[:, -1])}, and with hindsight {percent(hindsight.returns[:, -1])}. Averaged over the "
        f"run, shaping gains {interval(gain)} percentage points over hindsight (95 % interval).",
        "**The maze.** Why does plain DQN find the goal at all? Its network starts with beliefs near 0, and every step "
        "pays −1. So an action that was not tried looks better than those that were, and the agent explores. In 96 "
        "cells this is enough; in $2^{15}$ states it was not.",
    )


def reach() -> Markdown:
    hindsight, plain = (reference(f"08_reach_{file}") for file in ("her", "plain"))
    gain = points(hindsight.gain(plain))
    return finding(
        "FetchReach can be learned without hindsight, only more slowly: a hand meets its goal by chance now and then.",
        f"There are only {seeds(hindsight, plain)} each, so the interval of the gain is wide: averaged over the run, "
        f"hindsight gains {interval(gain)} percentage points (95 % interval).",
        f"The first evaluation of {100 * REACHED:.0f} % or more comes, seed by seed, at steps "
        f"{steps(first(hindsight, REACHED))} with hindsight, and at steps {steps(first(plain, REACHED))} without.",
    )


def way_to_go(env: str, episodes: range) -> np.ndarray:
    """From where the block is at first to where it shall be, in decimetres, `(episodes, 3)`; a seed is an episode."""
    world = envs.make(env)
    goals = np.array([world.reset(seed=seed)[0][:6] for seed in episodes])  # they come first in an observation
    return np.asarray(goals[:, 3:] - goals[:, :3])


def low_marks() -> tuple[int, int]:
    """In how many of the recorded test episodes of picking the mark lies on the table or just above it, and of how
    many."""
    stored = json.loads((CURVES / "08_pick_her.json").read_text())
    ways = way_to_go(stored["env"], range(EVALUATION_SEED, EVALUATION_SEED + stored["episodes"]))
    return int((ways[:, 2] < ON_TABLE).sum()), len(ways)


@cache
def lucky(episodes: int) -> list[int]:
    """In how many fresh episodes of pushing, sliding and picking the block already lies within 5 cm of its goal."""
    worlds = (f"rlcourse/Fetch{task}-v4" for task in ("Push", "Slide", "PickAndPlace"))
    return [int((np.linalg.norm(way_to_go(world, range(episodes)), axis=1) < NEAR).sum()) for world in worlds]


def robots() -> Markdown:
    curves = {task: reference(file) for task, file in ROBOTS.items()}
    late, early, _, slide, pick = curves.values()
    rows = ((task, len(curve.returns), percent(curve.returns[:, -1])) for task, curve in curves.items())
    low, episodes = low_marks()
    push, slid, picked = lucky(FRESH)
    assert late.wall_time is not None
    ends = {name: f"{100 * curves[name].returns[:, -1].mean():.0f} %" for name in curves}
    return finding(
        f"With hindsight SAC learns to push ({ends['pushing']}), and without it does not "
        f"({ends['pushing without hindsight']}). Picking ends at {ends['picking and placing']}, because the arm pushes "
        f"and does not lift. Sliding has only begun ({ends['sliding']}).",
        f"There are {seeds(*curves.values())} each, and a part is luck. In {push}, {slid} and {picked} of {FRESH} "
        "fresh episodes of pushing, sliding and picking the block already lies within 5 cm of its goal.",
        table(("", "seeds", f"success after {number(late.step[-1])} steps (range over seeds)"), rows),
        "*Pushing.* If nothing was touched, every step of the relabelled episode succeeds. So all actions are praised. "
        f"The first evaluation of {100 * MOST:.0f} % comes at steps {steps(first(late, MOST))}, and with an early "
        f"start at steps {steps(first(early, MOST))}. So with an early start each seed arrives later. "
        "Three seeds cannot say how much later.",
        f"*Picking.* In {low} of the {episodes} test episodes the mark is less than 5 cm above the table, and no "
        f"evaluation exceeds {100 * pick.returns.max():.0f} %. So the arm has learned to push and not to "
        "lift. [HER] begins half of the training episodes with the block in the hand.",
        f"*Sliding.* The best evaluation is {100 * slide.returns.max():.0f} %.",
        f"[MG] took about a million steps for pushing, with 40 updates per 1900 steps. We took one update for each "
        f"step and at most {late.wall_time.max() / 60:.0f} minutes of a core (`assets/README.md`).",
    )
