"""Lecture 2: which parts DQN needs, how fast targets may move, what Double changes, Rainbow's parts and the whole."""

from collections.abc import Mapping

import numpy as np
import scipy
from IPython.display import Markdown

from rlcourse.curves import Curve, Estimate, mean_estimate, recorded_experiment, reference, share_estimate
from rlcourse.findings.phrases import (
    BIAS,
    at,
    compared,
    finding,
    gains,
    interval,
    listed,
    number,
    reached,
    seeds,
    summed,
    table,
    verdict,
)

SOLVED = 475
PARTS = {
    "everything": "02_cartpole_dqn",
    "no target network": "02_no_target",
    "no replay": "02_no_replay",
    "neither": "02_neither",
}
EARLY = 5_000
DETAILS = {
    "squared errors": "02_dqn_squares",
    "gradients not clipped": "02_dqn_unclipped",
    "four updates at a time": "02_dqn_updates4",
}
SPEEDS = {
    "soft, τ = 0.02": "02_target_soft",
    "a copy every 100 updates": "02_one_step",
    "a copy every 500 updates": "02_target_slow",
}
SWITCHES = {
    "Double": "02_double",
    "dueling": "02_dueling",
    "prioritised replay": "02_prioritized",
    "5-step targets": "02_five_step",
}
WHOLE = {"CartPole": "02_rainbow_cartpole", "Acrobot": "02_rainbow_acrobot"}  # all six
NONE_OF_SIX = "one-step DQN"
REMOVED = {  # what takes a part's place, and how its files end
    "no Double": "no_double",
    "no dueling": "no_dueling",
    "uniform replay": "uniform",
    "one-step targets": "one_step",
    "no distributions": "no_distributions",
    "no noise, ε from 1": "no_noise",
    "no noise, ε = 0.1": "little_epsilon",
    NONE_OF_SIX: "dqn",
}
ACTIONS = (10, 20, 40)


def fisher(one: Curve, other: Curve, evaluation: int = -1) -> float:
    """The probability that chance alone splits the successes so unevenly or worse (Fisher's exact test)."""
    hits = [(curve.returns[:, evaluation] >= SOLVED) for curve in (one, other)]
    return float(scipy.stats.fisher_exact(np.array([[hit.sum(), (~hit).sum()] for hit in hits])).pvalue)


def chance(p: float) -> str:
    return f"p = {p:.1g}" if p >= 0.001 else "p < 0.001"


def end(curve: Curve) -> Estimate:
    """The bias of the last evaluation."""
    return mean_estimate(curve.bias[:, -1])


def details() -> dict[str, Estimate]:
    """What DQN gains by another loss, by no gradient clipping, and by more updates; minus is a loss."""
    plain = reference("02_rainbow_cartpole_dqn")
    return {name: reference(file).gain(plain) for name, file in DETAILS.items()}


def parts() -> Markdown:
    curves = {name: reference(file) for name, file in PARTS.items()}
    full, no_target, no_replay = (curves[name] for name in ("everything", "no target network", "no replay"))
    rates = {name: share_estimate(curve.returns[:, -1] >= SOLVED) for name, curve in curves.items()}
    rows = (
        (name, reached(curves[name], SOLVED), f"{100 * rate.low:.0f} to {100 * rate.high:.0f} %")
        for name, rate in rates.items()
    )
    early = at(full, EARLY)
    stood = no_replay.returns[:, early] >= SOLVED
    lost = (stood & (no_replay.returns[:, -1] < SOLVED)).sum()
    apart, smaller = fisher(no_target, no_replay), details()
    return finding(
        f"Each of the two parts matters here: {reached(full, SOLVED)} seeds succeed with both, "
        f"{reached(no_target, SOLVED)} without a target network, and {reached(no_replay, SOLVED)} without replay. "
        f"Which of the two matters more is {'resolved' if apart < 0.05 else 'not resolved'}.",
        "This holds for these settings. Others report that CartPole needs no target network, and with other step sizes "
        "that may be true.",
        table(("", "seeds that succeed", "exact 95 % interval of the share"), rows),
        f"Fisher's exact test asks how often chance alone would make two rows so different. Against the row with "
        f"everything it gives {chance(fisher(full, no_target))} without a target network and "
        f"{chance(fisher(full, no_replay))} without replay. Compared with each other, the two give {chance(apart)}.",
        f"**Without replay an agent learns faster here, but it does not keep what it learned.** After {number(EARLY)} "
        f"steps {stood.sum()} of {len(stood)} seeds without replay score {SOLVED} or more; with replay "
        f"{reached(full, SOLVED, early)} do ({chance(fisher(full, no_replay, early))}). At the end {lost} of those "
        f"{stood.sum()} score below {SOLVED} again. This is why we count the last policy, and not the best one on the "
        "way.",
        f"**The smaller parts.** Compared with this smaller DQN, {summed(smaller)}.",
        gains(smaller, ("", "return gained over the smaller DQN")),
        "The threshold κ = 1 comes from Atari games, where rewards are clipped to [−1, 1] [DQN]. On CartPole a good "
        "policy is worth about 100. These differences are paired by seed "
        f"({seeds(*map(reference, DETAILS.values()))}) and averaged over the training.",
    )


def targets() -> Markdown:
    curves = {name: reference(file) for name, file in SPEEDS.items()}
    rows = (
        (name, interval(end(curve)), verdict(end(curve), BIAS), reached(curve, SOLVED))
        for name, curve in curves.items()
    )
    slow_curve, slow = curves["a copy every 500 updates"], recorded_experiment(SPEEDS["a copy every 500 updates"])
    updates = slow.steps - slow.config.learning_starts
    copies = updates // slow.config.target_every
    reach = sum(slow.config.gamma**t for t in range(copies))
    most = max(int((curve.returns[:, -1] >= SOLVED).sum()) for curve in curves.values())
    return finding(
        "*How fast may targets move?* If they move fast, the critic believes too much; if they move slowly, it "
        "believes too little.",
        f"All these runs have one-step targets, and at no speed do more than {most} of {len(slow_curve.returns)} seeds "
        "succeed.",
        table(("target network", "believed minus true at the end (95 % interval)", "verdict", "succeed"), rows),
        "**Fast targets let the belief run away.** Some beliefs are larger than any policy can be worth, and yet they "
        "stay finite; this is called *soft divergence* [DT].",
        f"**Slow targets hold the belief down.** {number(updates)} updates hold {copies} copies, and "
        f"each copy carries values one step further. So this critic can hardly believe in more than "
        f"$\\sum_{{t<{copies}}} \\gamma^t \\approx {reach:.0f}$, whatever the truth is.",
    )


def double() -> Markdown:
    pairs = {
        "two actions": ("02_one_step", "02_double"),
        "20 actions, noisy rewards": ("02_noisy_plain", "02_noisy_double"),
    }
    changes, rows = [], []
    for name, files in pairs.items():
        plain, doubled = map(reference, files)
        change = mean_estimate(doubled.bias[:, -1] - plain.bias[:, -1])
        changes.append(change)
        words = verdict(change, ("higher", "lower", "not resolved"))
        rows.append((name, interval(end(plain)), interval(end(doubled)), interval(change), words))
    head = ("", "bias of DQN", "bias of Double DQN", "change, seed by seed", "verdict")
    clear = sum(change.resolved for change in changes)
    return finding(
        "*Does Double help?* In both comparisons Double lowers the mean bias, as theory says.",
        f"Of these two changes {clear or 'none'} {'are' if clear == len(pairs) else 'is'} resolved. A change that is "
        "not resolved needs more seeds.",
        table(head, rows),
        "The numbers belong to the last evaluation, and the intervals are 95 % intervals.",
        f"With two actions {reached(reference('02_double'), SOLVED)} seeds of Double DQN succeed, and "
        f"{reached(reference('02_one_step'), SOLVED)} of DQN.",
        "Double DQN removes only a part of the bias. Its target network is an old copy of the network that chooses, so "
        "the errors of the two are related.",
    )


def rainbow() -> Markdown:
    plain = reference("02_one_step")
    curves = {name: reference(file) for name, file in SWITCHES.items()}
    rows = [("one-step DQN", "", "", reached(plain, SOLVED))]
    for name, curve in curves.items():
        gain = curve.gain(plain)
        rows.append((name, interval(gain), verdict(gain), reached(curve, SOLVED)))
    wide = {
        f"{count} actions": reference(f"02_actions{count}_dueling").gain(reference(f"02_actions{count}_single"))
        for count in ACTIONS
    }
    better = " and ".join(name for name, curve in curves.items() if verdict(curve.gain(plain)) == "better")
    helps = f"Shown to help: {better}, and nothing else" if better else "No switch is shown to help"
    return finding(
        f"{helps} on this task.",
        "*Not resolved* does not mean that a switch does nothing. It means that so few seeds cannot tell.",
        table(("switch", "return gained over one-step DQN (95 % interval)", "verdict", "succeed"), rows),
        "Dueling where each action stands several times over, against a single stream "
        f"({seeds(*(reference(f'02_actions{count}_single') for count in ACTIONS))} each):",
        gains(wide, ("CartPole with", "return gained by dueling")),
    )


def removals(task: str) -> dict[str, Estimate]:
    """What is gained over Rainbow by leaving out one part, and by one-step DQN, which has none; minus is a loss."""
    whole = reference(WHOLE[task])
    return {name: reference(f"{WHOLE[task]}_{ending}").gain(whole) for name, ending in REMOVED.items()}


def without_a_part(task: str, estimates: Mapping[str, Estimate]) -> str:
    """Which part is missed on a task, which one is better left out, and how DQN compares."""
    parts = {name: verdict(each) for name, each in estimates.items() if name != NONE_OF_SIX}
    missed, spared = ([f"*{name}*" for name in parts if parts[name] == word] for word in ("worse", "better"))
    first = f"the agent is worse with {listed(missed)}" if missed else "no part is shown to be missed"
    second = f"; the agent is better with {listed(spared)}" if spared else ""
    return f"On {task} {first}{second}. There {compared(estimates[NONE_OF_SIX], NONE_OF_SIX, 'all six')}."


def whole() -> Markdown:
    changes = {task: removals(task) for task in WHOLE}
    told = " ".join(without_a_part(task, estimates) for task, estimates in changes.items())
    head = ("", "return gained over all six")
    tables = [f"{task}:\n\n{gains(estimates, head)}" for task, estimates in changes.items()]
    curves = [reference(f"{file}_{ending}") for file in WHOLE.values() for ending in REMOVED.values()]
    start = listed(
        f"{interval(reference(f'{file}_no_noise').gain(reference(f'{file}_little_epsilon')))} on {task}"
        for task, file in WHOLE.items()
    )
    alone = reference(SWITCHES["5-step targets"]).gain(reference("02_one_step"))
    among = changes["CartPole"]["one-step targets"]
    return finding(
        f"*Which part is missed?* {told}",
        "All this is about two small tasks, short training and settings that were tuned for DQN. A part that is not "
        "missed here may matter where exploration is hard, or where there are many more steps.",
        f"All differences are paired by seed ({seeds(*curves)}) and averaged over the training.",
        *tables,
        "Noise replaces ε completely, so training has no random beginning. Without noise, an ε that falls from 1 gains "
        f"{start} over ε = 0.1 from the start. Noise together with early random actions was not tested.",
        f"*Multi-step targets on CartPole.* Alone, 5-step targets gain {interval(alone)} over one-step DQN. Among all "
        f"six, one-step targets gain {interval(among)} over 3-step targets. The other settings differ, too, and we "
        "have not tested why.",
        "On 57 Atari games Rainbow loses most without priorities or multi-step targets, and hardly anything without "
        "Double or dueling [R].",
    )
