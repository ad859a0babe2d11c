"""Lecture 6: noise, the bias of four agents, TD3 without each of its parts, thresholds, and two robots."""

import numpy as np
from IPython.display import Markdown

from rlcourse.curves import Curve, mean_estimate, recorded_experiment, reference, signed
from rlcourse.findings import quoted
from rlcourse.findings.phrases import (
    BIAS,
    at,
    compared,
    finding,
    gains,
    interval,
    number,
    page,
    reached,
    seeds,
    summed,
    table,
    verdict,
)

AGENTS = {"DDPG": "ddpg", "DDQN-AC": "ddqn_ac", "DQ-AC": "dq_ac", "TD3": "td3"}
PARTS = {"one critic": "no_twin", "no delay": "no_delay", "no smoothing": "no_smoothing"}
TASKS = {"Pendulum": "06_pendulum", "InvertedDoublePendulum": "06_double_pendulum"}
ROBOTS = ("HalfCheetah", "Hopper")
STANDS = {"Pendulum": -200, "InvertedDoublePendulum": 9_000}
EARLY = 20_000  # steps on the double pendulum, the live run's
TRAVEL = (20_000, 36_000)
FULL = 936.0  # 9.36 a step for ever, with γ = 0.99


def noise() -> Markdown:
    ou, gaussian = reference("06_pendulum_ou"), reference("06_pendulum_ddpg")
    gain = ou.gain(gaussian)
    config = recorded_experiment("06_pendulum_ou").config
    long_run = config.exploration_noise / np.sqrt(1 - (1 - config.reversion) ** 2)
    other = recorded_experiment("06_pendulum_ddpg").config.exploration_noise
    return finding(
        f"On Pendulum {compared(gain, 'noise with a memory', 'Gaussian noise')}.",
        "The comparison changes two things at once, the memory *and* the size of the noise.",
        f"The return changes by {interval(gain)} ({seeds(ou)}, 95 % interval). In the long run the standard deviation "
        f"of the noise with a memory is {long_run:.2f}, and that of the Gaussian noise is {other:g}.",
    )


def travel() -> tuple[float, float, float]:
    """The belief of TD3's seeds that stood between the two steps of `TRAVEL`: at the first, at the last, and at the
    last if slow targets alone held it back (towards `FULL`, with the time constant of `delay` updates)."""
    curve = reference("06_double_pendulum_td3")
    first, last = (at(curve, step) for step in TRAVEL)
    assert curve.believed is not None
    stood = curve.believed[(curve.returns[:, first : last + 1] >= STANDS["InvertedDoublePendulum"]).all(1)].mean(0)
    waiting = np.exp(-(TRAVEL[1] - TRAVEL[0]) / delay("td3"))
    return float(stood[first]), float(stood[last]), float(FULL - (FULL - stood[first]) * waiting)


def delay(file: str) -> float:
    """Updates of the critic in which a value travels through the slow targets: 1/(τ(1 − γ)) of the targets' own."""
    config = recorded_experiment(f"06_double_pendulum_{file}").config
    return float(getattr(config, "policy_every", 1) / (config.tau * (1 - config.gamma)))


def bias() -> Markdown:
    pages, told = [], []
    for task, prefix in TASKS.items():
        curves = {name: reference(f"{prefix}_{file}") for name, file in AGENTS.items()}
        ends = {name: mean_estimate(curve.bias[:, -1]) for name, curve in curves.items()}
        told.append(f"On {task} {summed(ends, BIAS)}.")
        truth = np.mean([curve.truth[:, -1].mean() for curve in curves.values() if curve.truth is not None])
        pages += [
            f"**{task}** ({seeds(*curves.values())} each). At the end the truth is {number(truth)} on average.",
            gains(ends, ("", "believed minus true at the end"), BIAS, digits=1 if task == "Pendulum" else 0),
        ]
    swing = {name: reference(f"06_pendulum_{file}").bias for name, file in AGENTS.items()}
    gap = mean_estimate(swing["DDPG"][:, -1] - swing["TD3"][:, -1])
    first = min(curve[:, 0].mean() for curve in swing.values())
    pages.insert(
        2,
        f"DDPG's bias is larger than TD3's by {interval(gap, 1)}, seed by seed. The first evaluations say nothing "
        f"about overestimation: an untrained critic believes in about 0, which is {number(first)} or more above the "
        "truth.",
    )
    double = {name: reference(f"06_double_pendulum_{file}") for name, file in AGENTS.items()}
    lows = {name: curve.bias.mean(0) for name, curve in double.items()}
    lowest = ", ".join(
        f"{name} {signed(low.min(), 0)} at step {number(double[name].step[low.argmin()])}" for name, low in lows.items()
    )
    truth = double["TD3"].truth
    assert truth is not None
    before, after, alone = travel()
    return finding(
        f"What the critics believe of their own actions, at the end. {' '.join(told)}",
        "That TD3 believes far too little on the double pendulum contradicts [TD3], which reports values close to the "
        "true ones on its tasks. Slow targets are one reason, but not the only one.",
        *pages,
        "**On the double pendulum all four critics believe far too little on the way, and TD3's still does at the "
        f"end.** The lowest means are: {lowest}.",
        f"**Slow targets are one reason.** The policy is soon worth {truth.max():.0f}. But the belief follows through "
        f"slow targets: its distance from the truth shrinks to about a third in 1/(τ(1 − γ)) = "
        f"{number(delay('ddpg'))} updates. TD3 moves its targets only in every second update, so it takes "
        f"{number(delay('td3'))} steps for the same.",
        f"**They are not the only reason.** Take those seeds of TD3 that balance from step {number(TRAVEL[0])} to step "
        f"{number(TRAVEL[1])}. If only slow targets mattered, the believed discounted return would rise from "
        f"{before:.0f} to {alone:.0f}. It rose only to {after:.0f}. So something else holds it down as well, and these "
        "runs do not show what.",
    )


def parts() -> Markdown:
    pages, told = [], []
    for task, prefix in TASKS.items():
        whole = reference(f"{prefix}_td3")
        curves = {name: reference(f"{prefix}_{file}") for name, file in PARTS.items()}
        gained = {name: curve.gain(whole) for name, curve in curves.items()}
        told.append(f"On {task} {summed(gained)}.")
        pages += [f"**{task}**, TD3 without one part, against TD3 ({seeds(whole)} each):", without(curves, whole)]
    return finding(
        f"The return without one part, compared with TD3. {' '.join(told)}",
        "Five seeds are few, and the runs are short. [TD3] finds on harder tasks and in longer runs that no part alone "
        "is enough.",
        *pages,
        "**Why may it be better not to wait?** Without the delay ($d = 1$) actor and targets learn twice as often. "
        "In so few steps this can gain more than a better critic does.",
        "**Bias and return need not agree.** The parts were made to reduce the critic's bias and variance, and we want "
        "return.",
    )


def without(curves: dict[str, Curve], whole: Curve) -> str:
    rows = []
    for name, curve in curves.items():
        gain, change = curve.gain(whole), mean_estimate(curve.bias[:, -1] - whole.bias[:, -1])
        words = verdict(change, ("higher", "lower", "not resolved"))
        rows.append((name, interval(gain), verdict(gain), interval(change), words))
    return table(("", "return gained (95 % interval)", "verdict", "bias at the end, change", "verdict"), rows)


def thresholds() -> Markdown:
    swing, double = (reference(f"{prefix}_td3") for prefix in TASKS.values())
    early, stands = at(double, EARLY), STANDS["InvertedDoublePendulum"]
    lost = ((double.returns[:, early] >= stands) & (double.returns[:, -1] < stands)).sum()
    return finding(
        f"The wanted return is reached by {reached(swing, STANDS['Pendulum'])} recorded seeds on Pendulum, and by "
        f"{reached(double, stands, early)} on the double pendulum after {number(EARLY)} steps.",
        "What is learned can still be lost: on the double pendulum the seeds that succeed early and late are not the "
        "same.",
        f"**Pendulum.** In their last evaluation {reached(swing, STANDS['Pendulum'])} recorded seeds score "
        f"−200 or more.",
        f"**Double pendulum.** After {number(EARLY)} steps {reached(double, stands, early)} recorded seeds score "
        f"{stands} or more, and after {number(double.step[-1])} steps {reached(double, stands)}. They are not the same "
        f"seeds: {lost} of the early ones can no longer do it.",
    )


def ends(task: str, *lecture_and_agent: tuple[str, str]) -> list[tuple[str, str, str, str]]:
    """Rows of a table: the task, an agent, its mean return in the last evaluation, and its range over seeds."""
    rows = []
    for lecture, agent in lecture_and_agent:
        last = reference(f"{lecture}_{task.lower()}_{agent.lower()}").returns[:, -1]
        spread = "one seed" if len(last) == 1 else f"{last.min():.0f} to {last.max():.0f}, {len(last)} seeds"
        rows.append((task, agent, f"{last.mean():.0f}", spread))
    return rows


def robots() -> Markdown:
    rows = [row for task in ROBOTS for row in ends(task, ("06", "TD3"), ("06", "DDPG"))]
    paper = quoted.TD7_ONLINE
    printed = [f"{task} {steps}" for task in ROBOTS for steps in ("300k", "1M")]
    return page(
        f"**Ours**, after {number(reference('06_halfcheetah_td3').step[-1])} steps. So few seeds rank nothing.",
        table(("", "agent", "return at the end", "range"), rows),
        f"**TD3 in a paper** ({paper.source}; {paper.trials} trials, ± is the {paper.spread}).",
        paper.markdown(printed, ("TD3",)),
        "The comparison is not fair. The paper has three and ten times our steps, more seeds, and other versions of "
        "environment and code.",
    )
