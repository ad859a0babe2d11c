"""Lecture 7: temperature, entropy, reparameterisation, four goals of which one is blocked, PPO or SAC, two papers."""

import numpy as np
from IPython.display import Markdown

from rlcourse import goals_reached
from rlcourse.curves import Curve, mean_estimate, recorded_experiment, reference
from rlcourse.findings import quoted
from rlcourse.findings.phrases import (
    compared,
    finding,
    for_good,
    gains,
    listed,
    number,
    page,
    percent,
    reached,
    seeds,
    summed,
    table,
)

LEARNED = "07_pendulum_sac"
OTHERS = {
    "with V": "07_pendulum_original",
    "α = 0.2": "07_pendulum_fixed",
    "α = 0.001": "07_pendulum_cold",
    "TD3": "06_pendulum_td3",
}
NO_ENTROPY = "07_pendulum_no_entropy"
SCORE_FUNCTION = {  # the off-policy actor-critic
    "one action": "07_pendulum_ac",
    "16 compared": "07_pendulum_ac_baseline",
    "bounded": "07_pendulum_ac_wide",  # the same, and log σ ≥ −2
}
WHOLE = {"SAC": LEARNED, "DDPG": "06_pendulum_ddpg"}
TASKS = ("HalfCheetah", "Hopper")
GOAL = -200


def temperature() -> Markdown:
    learned = reference(LEARNED)
    others = {name: reference(file) for name, file in OTHERS.items()}
    estimates = {name: curve.gain(learned) for name, curve in others.items()}
    solved = ", ".join(f"{name} {reached(curve, GOAL)}" for name, curve in {"SAC": learned, **others}.items())
    return finding(
        f"Compared with SAC that learns its temperature, {summed(estimates)}.",
        "This is one task with one setting of everything else. A fixed temperature that does well here was found for "
        "rewards of this size.",
        gains(estimates, (f"{seeds(learned, *others.values())} each", "return gained over SAC")),
        f"Seeds that score −200 or more in the last evaluation: {solved}.",
        "The number is the mean difference of two curves. So it depends on how fast an agent learns as well as on how "
        "far it gets.",
    )


def blocked() -> Markdown:
    agents = goals_reached.load()
    steps = {recorded_experiment(name).steps for name in goals_reached.CURVES.values()}
    walled = {name: arrivals.shares[1] for name, arrivals in agents.items()}
    mixture = mean_estimate(100 * walled["mixture SAC"])
    than_sac = {name: mean_estimate(100 * (walled[name] - walled["SAC"])) for name in agents if name != "SAC"}
    rows = (
        (name, f"{each.used.mean():.1f} ({each.used.min()} to {each.used.max()})", *map(percent, each.shares))
        for name, each in agents.items()
    )
    head = "agent", "goals in use", "walks that arrive without the wall", "with it"
    still = listed(f"{name} in {100 * share.mean():.0f} %" for name, share in walled.items())
    use = listed(f"{name} uses {each.used.mean():.1f}" for name, each in agents.items())
    close = [name for name, gain in than_sac.items() if gain.resolved and min(abs(gain.low), abs(gain.high)) < 1]
    barely = f" ({listed(close)} by an interval that only just excludes zero)" if close else ""
    used, count = agents["SAC"].used, len(walled["SAC"])
    alike = listed(f"{(used == goals).sum()} use {goals}" for goals in np.unique(used))
    return finding(
        f"Of the four goals {use}, on average. SAC's seeds differ: of {count}, {alike}. With a wall before "
        f"the goal that it likes best, an agent still arrives: {still} of its walks. There, compared with SAC, "
        f"{summed(than_sac)}{barely}.",
        f"This is one room with one temperature, after {listed(map(number, sorted(steps)))} steps. "
        "How evenly goals are used depends on errors of the critic: an error of α changes the odds of two goals by a "
        "factor of e.",
        table(head, rows),
        f"A goal is in use if at least one walk in 20 reaches it. Each seed walks {goals_reached.EPISODES} times; the "
        "numbers are the mean over seeds, with the lowest and the highest one.",
        gains(than_sac, ("with the wall", "% of the walks that arrive, more than SAC's"), digits=1),
        f"Of mixture SAC's walks {mixture.value:.0f} % ({mixture.low:.0f} to {mixture.high:.0f}) arrive with the wall. "
        f"Whether this mean is above one half is {'not ' if mixture.low < 50 < mixture.high else ''}resolved.",
    )


def milliseconds(curve: Curve) -> float:
    """Of one step of the recorded run, updates included."""
    return float(1000 * curve.seconds[0] / curve.step[0])


def which() -> Markdown:
    rows, words = [], []
    shown: list[Curve] = []
    for task in TASKS:
        curves = {"PPO": reference(f"05_{task.lower()}_ppo"), "SAC": reference(f"07_{task.lower()}_sac")}
        for name, curve in curves.items():
            low, high = curve.returns[:, -1].min(), curve.returns[:, -1].max()
            spread = f"{low:.0f} to {high:.0f}, {seeds(curve)}"
            steps, seconds = number(curve.step[-1]), number(curve.seconds[-1])
            rows.append((task, name, f"{curve.mean[-1]:.0f}", spread, steps, seconds))
        words.append(beyond(task, **curves))
        shown += curves.values()
    sac, ppo = (milliseconds(reference(file)) for file in ("07_hopper_sac", "05_hopper_ppo"))
    return finding(
        f"{' '.join(words)} *So which?* Take SAC if steps are expensive, as on a robot or in a slow simulator: SAC "
        "uses every step many times. Take PPO if steps cost nothing and many simulators run side by side: PPO makes "
        "more steps in a second.",
        "This is the usual advice, and SAC as built here needs continuous actions. Two tasks with "
        f"{seeds(*shown)} each cannot prove it.",
        table(("", "agent", "return at the end", "range", "steps", "seconds"), rows),
        f"On Hopper a step of SAC took {sac:.1f} ms and one of PPO {ppo:.2f} ms: a factor of {sac / ppo:.0f}.",
    )


def beyond(task: str, PPO: Curve, SAC: Curve) -> str:  # noqa: N803  (the agents' names)
    """Where SAC's mean passes PPO's end for good."""
    first = for_good(SAC, PPO.mean[-1])
    if first is None:
        return f"*{task}:* SAC does not end above PPO's end."
    seconds = number(SAC.seconds[first])
    if first == len(SAC.step) - 1:
        return (
            f"*{task}:* Only the last evaluation of SAC, after {number(SAC.step[-1])} steps and {seconds} seconds, "
            f"lies above PPO's end. One evaluation decides nothing. So this is a tie, with {number(SAC.step[-1])} "
            f"steps of SAC and {number(PPO.step[-1])} of PPO."
        )
    return (
        f"*{task}:* From step {number(SAC.step[first])} on, {seconds} seconds, SAC's mean stays above PPO's end. "
        f"SAC arrives there sooner by steps, and later by seconds."
    )


def papers() -> Markdown:
    old, new = quoted.TD3_MAXIMA, quoted.TD7_ONLINE
    sac, later = old.cell("HalfCheetah", "SAC"), new.cell("HalfCheetah 1M", "SAC")
    recorded = reference("07_halfcheetah_sac")
    passed = recorded.step[int((recorded.mean > sac.value).argmax())]
    rows = (
        (
            f"{old.source}: maximum over training",
            old.cell("HalfCheetah", "TD3"),
            f"**{sac}**",
            old.cell("HalfCheetah", "PPO"),
        ),
        (f"{new.source}: last policy", new.cell("HalfCheetah 1M", "TD3"), f"**{later}**", ""),
    )
    return page(
        table(("HalfCheetah after one million steps", "TD3", "SAC", "PPO"), rows),
        f"SAC has the same name in both rows, and a factor of {later.value / sac.value:.1f} lies between them. "
        f"Even ± means something else: {old.spread} in the first row, the {new.spread} in the second. Our own "
        f"recording of SAC is above {sac} after {number(passed)} steps.",
    )


def without_entropy() -> Markdown:
    none, entropy = reference(NO_ENTROPY), reference(NO_ENTROPY).kept["entropy"]
    estimates = {name: none.gain(reference(file)) for name, file in (WHOLE | {"TD3": OTHERS["TD3"]}).items()}
    told = "; ".join(compared(gain, "its return", f"{name}'s") for name, gain in estimates.items())
    target = recorded_experiment(LEARNED).config.target_entropy
    return finding(
        f"Without entropy the policy soon stops being random: its entropy is {number(entropy[:, 0].mean())} nats on "
        f"average up to step {number(none.step[0])}, and {number(entropy[:, -1].mean())} at the end. A learned "
        f"temperature holds it near {number(target)}. Yet {reached(none, GOAL)} seeds end at −200 or more. "
        f"Averaged over the training, {told}.",
        "Two things lower this entropy, a small σ and a mean far out, where tanh is flat. And this is one easy task, "
        "in which the random first steps may be all the exploration that is needed.",
        gains(estimates, ("against", "return gained by α = 0")),
        f"At the end the entropies of the {seeds(none)} lie between {number(entropy[:, -1].min())} and "
        f"{number(entropy[:, -1].max())} nats.",
    )


def score_function() -> Markdown:
    sac = reference(LEARNED)
    curves = {name: reference(file) for name, file in SCORE_FUNCTION.items()}
    shown = curves | {"SAC, α = 0": reference(NO_ENTROPY)}
    estimates = {name: curve.gain(sac) for name, curve in curves.items()}
    solved = listed(f"{reached(curve, GOAL)} with *{name}*" for name, curve in curves.items())
    rows = [
        (
            name,
            number(curve.mean[-1]),
            f"{number(curve.returns[:, -1].min())} to {number(curve.returns[:, -1].max())}",
            reached(curve, GOAL),
            " → ".join(number(nats) for nats in curve.kept["entropy"].mean(0)[[0, -1]]),
        )
        for name, curve in shown.items()
    ]
    return finding(
        f"Seeds that end at −200 or more: {solved}. Compared with SAC, {summed(estimates)}.",
        "This is one task. The settings are SAC's but for the second critic, and they were not tuned for the score "
        f"function ({seeds(*curves.values())} each).",
        table(("", "return at the end", "range", "−200 or more", "entropy, first → last"), rows),
        gains(estimates, ("", "return gained over SAC")),
        "*Bounded* has σ ≥ 0.135 before tanh. Its entropy still falls, where means lie far out: tanh is flat there.",
    )
