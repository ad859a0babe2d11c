"""Lecture 10, offline: value traces, how much to copy, and who wins on which data."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from IPython.display import Markdown

from rlcourse.curves import CURVES, Curve, Estimate, digits, mean_estimate, reference
from rlcourse.findings import quoted
from rlcourse.findings.phrases import finding, interval, listed, number, page, seeds, summed, table, verdict
from rlcourse.findings.quoted import Figure

DATASETS = CURVES.parent / "datasets"
FILES = {  # of a learner, as its recordings are named
    "cloning": "cloning",
    "TD3": "td3",
    "TD3+BC": "td3_bc",
    "TD7": "td7",
    "TD7, no clip": "td7_no_clip",
    "IQL": "iql",
    "IQL, β = 0.1": "iql_soft",
    "CQL": "cql",
    "SAC-N": "sac_n",
    "EDAC": "edac",
}
DATA = {"medium": "medium", "medium-replay": "replay", "expert": "expert"}  # as recordings are named
COPYING = {
    0.0: "10_pendulum_medium_td3",
    0.1: "10_pendulum_medium_copying_0.1",
    0.4: "10_pendulum_medium_td3_bc",
    1.0: "10_pendulum_medium_copying_1",
    10.0: "10_pendulum_medium_copying_10",
}
BIAS = ("too much", "too little", "what is true, as far as these seeds tell")


def recorded(data: str, task: str = "Pendulum") -> dict[str, Curve]:
    """The learners that have been recorded on one of `DATA`: each new file joins the tables by itself."""
    return _those_recorded({learner: f"10_{task.lower()}_{DATA[data]}_{file}" for learner, file in FILES.items()})


def _those_recorded(names: Mapping[str, str]) -> dict[str, Curve]:
    return {shown: reference(name) for shown, name in names.items() if (CURVES / f"{name}.json").exists()}


def about(data: str, task: str = "Pendulum") -> Mapping[str, Any]:
    """What the dataset says of itself: of one that is too large for the repository, this is all that is kept."""
    whole = DATASETS / task.lower() / f"{data}-v0"
    kept = whole.with_suffix(".json")
    return dict(json.loads((kept if kept.exists() else whole / "data" / "metadata.json").read_text()))


def score(data: str, returns: np.ndarray, task: str = "Pendulum") -> np.ndarray:
    """As `datasets.Dataset.score`, without reading the transitions."""
    said = about(data, task)
    low, high = said["ref_min_score"], said["ref_max_score"]
    return np.asarray(100 * (returns - low) / (high - low))


def _last(data: str, task: str) -> dict[str, np.ndarray]:
    """Every learner's score in the last evaluation, seed by seed."""
    return {learner: score(data, curve.returns[:, -1], task) for learner, curve in recorded(data, task).items()}


def ends(data: str, task: str = "Pendulum") -> dict[str, Estimate]:
    """Every learner's score in the last evaluation."""
    return {learner: mean_estimate(each) for learner, each in _last(data, task).items()}


def over_cloning(data: str, task: str = "Pendulum") -> dict[str, Estimate]:
    """How much more than the clone every learner scores in the last evaluation, seed by seed."""
    last = _last(data, task)
    clone = last.pop("cloning", None)
    return {} if clone is None else {learner: mean_estimate(each - clone) for learner, each in last.items()}


def sweep() -> dict[str, Curve]:
    """By the weight of copying, from TD3 on."""
    weights = _those_recorded({f"λ = {weight:g}": name for weight, name in COPYING.items()})
    return weights | {"cloning": recorded("medium")["cloning"]}


def traces() -> Markdown:
    curves = recorded("medium")
    biases = {learner: mean_estimate(curve.bias[:, -1]) for learner, curve in curves.items()}
    rows = [
        (learner, digits(curve.believed[:, -1].mean()), digits(curve.truth[:, -1].mean()), interval(biases[learner]))
        for learner, curve in curves.items()
        if curve.believed is not None and curve.truth is not None
    ]
    groups = {word: [name for name, each in biases.items() if verdict(each, BIAS) == word] for word in BIAS}
    told = "; ".join(f"*{word}* by {listed(names)}" for word, names in groups.items() if names)
    return finding(
        f"What is believed at the end is {told}.",
        f"{seeds(*curves.values())} leave wide intervals. And a critic that has not looked far ahead believes too much "
        "here, since it begins near 0 and all rewards are negative.",
        f"Mean discounted value of the learned policy's own actions after {number(curves['TD3'].step[-1])} updates:",
        table(("learner", "believed", "true", "believed − true (95 % interval)"), rows),
    )


def copying() -> Markdown:
    curves = sweep()
    last = {name: curve.returns[:, -1] for name, curve in curves.items()}
    best = max(last, key=lambda name: float(last[name].mean()))
    others = {name: mean_estimate(last[best] - last[name]) for name in ("λ = 0", "cloning") if name != best}
    told = [f"over *{name}* its gain is {interval(each)}" for name, each in others.items()]
    return finding(
        f"*{best}* returns most at the end: {digits(last[best].mean())} on average; {listed(told)}.",
        f"The best weight was picked on these very recordings, of {seeds(*curves.values())}: that flatters it.",
        table(("weight of copying", "mean return", "range"), [
            (name, digits(each.mean()), f"{digits(each.min())} to {digits(each.max())}") for name, each in last.items()
        ]),
    )  # fmt: skip


def winners() -> Markdown:
    more = {data: over_cloning(data) for data in DATA}
    told = [f"On *{data}*, compared with cloning: {summed(gain)}." for data, gain in more.items() if gain]
    scores = {data: ends(data) for data in DATA}
    shown = {data: {name: number(each.value) for name, each in found.items()} for data, found in scores.items()}
    learners = [learner for learner in FILES if any(learner in found for found in scores.values())]
    rows = [(learner, *(shown[data].get(learner, "") for data in DATA)) for learner in learners]
    gains = [
        (learner, *(interval(gain[learner]) if learner in gain else "" for gain in more.values()))
        for learner in learners
        if learner != "cloning"
    ]
    guessed = {data: mean_estimate(recorded(data)["TD3"].bias[:, -1]) for data in DATA}
    return finding(
        " ".join(told),
        f"This is one small task with one number of action, and {seeds(*recorded('medium').values())}. γ, τ and "
        "IQL's β were chosen on these data; nothing else is tuned.",
        f"Mean score after {number(recorded('medium')['TD3'].step[-1])} updates; 0 is a random policy, 100 the policy "
        "behind the expert's data:",
        table(("learner", *DATA), rows),
        "More than cloning, seed by seed (95 % interval):",
        table(("learner", *DATA), gains),
        "TD3 copies nothing. It believes too much by "
        f"{listed(f'{interval(each)} on *{data}*' for data, each in guessed.items())}. The means rise from "
        "*medium-replay* over *medium* to *expert*: as one expects, more has to be guessed where the data hold fewer "
        "kinds of action. But the intervals overlap.",
    )


def robots() -> dict[str, dict[str, Curve]]:
    """What has been recorded on robots, by the row of the paper's table that has the same task and kind of data."""
    rows = {row: row.split() for row in list(quoted.TD7_OFFLINE.rows)[:-1]}  # the last one is their total
    found = {row: recorded(data, task) for row, (task, data) in rows.items() if data in DATA}
    return {row: curves for row, curves in found.items() if curves}


def beside_paper() -> Markdown:
    printed, ours = quoted.TD7_OFFLINE, robots()
    own = [learner for learner in FILES if any(learner in curves for curves in ours.values())]
    columns = (*printed.columns, *(learner for learner in own if learner not in printed.columns))
    lines: list[tuple[object, ...]] = []
    for row in printed.rows:
        lines.append((row, "paper", *printed.line(row), *[""] * (len(columns) - len(printed.columns))))
        if row in ours:
            task, data = row.split()
            # For few seeds an interval is as long on both sides, see `mean_band`: so ± says all of it.
            shown = {who: Figure(each.value, each.high - each.value) for who, each in ends(data, task).items()}
            lines.append(("", "here", *(shown.get(learner, "") for learner in columns)))
    what = f"The rows *paper* are {printed.source}; ± is the {printed.spread}, over {printed.trials} trials"
    with_care = (
        "Do not compare the scores of two experiments, but the order of the methods within each, and only where "
        "intervals lie apart. Where they do not, the paper uses Welch's t-test, which allows for two different spreads."
    )
    if ours:
        runs = seeds(*(curve for found in ours.values() for curve in found.values()))
        told, explained = (
            _over_cloning_in_words(ours),
            f"{what} and, here, {runs}. {_why_other_scores(ours)} {with_care}",
        )
    else:
        told, explained = "Nothing is recorded on robots yet.", f"{what}. {with_care}"
    return page(
        f"**Robots, beside a paper.** {told}", explained, f"{printed.unit}:", table(("data", "", *columns), lines)
    )


def _over_cloning_in_words(ours: Mapping[str, Mapping[str, Curve]]) -> str:
    """On how many datasets a learner is better than the clone, and on how many worse, where that is resolved."""
    gains = [over_cloning(data, task) for task, data in map(str.split, ours)]
    told = []
    for learner in FILES:
        words = [verdict(gain[learner]) for gain in gains if learner in gain]
        counts = [f"{word} on {words.count(word)}" for word in ("better", "worse") if word in words]
        if counts:
            told.append(f"*{learner}* is {listed(counts)} of {len(words)}")
    if not any(gains):
        return "No learner is recorded beside a clone yet."
    rest = f"{'; '.join(told)}. No other difference is resolved." if told else "no difference is resolved."
    return f"Compared with cloning on the same data, seed by seed: {rest}"


def _why_other_scores(ours: Mapping[str, Mapping[str, Curve]]) -> str:
    """One sentence: other data, another budget, another expert."""
    told = {row: about(data, task) for row, (task, data) in ((row, row.split()) for row in ours)}
    acted = {f"{said['algorithm_name'].upper()} in {number(said['trained_steps'])} steps" for said in told.values()}
    experts = {row.split()[0]: said["expert"] for row, said in told.items()}
    alike = len(set(experts.values())) == 1
    best = next(iter(experts.values())) if alike else "; ".join(f"{task}: {who}" for task, who in experts.items())
    return (
        "The two differ because the data, the budget and the expert do: the paper's learners had D4RL's data and "
        f"{quoted.TD7_OFFLINE.steps}, ours had what {listed(sorted(acted))} did or met, and {_updates(ours)}, and our "
        f"expert is another one ({best})."
    )


def _updates(ours: Mapping[str, Mapping[str, Curve]]) -> str:
    """`100 000 updates`, and who had fewer."""
    lengths = {(who, int(curve.step[-1])) for curves in ours.values() for who, curve in curves.items()}
    most = max(updates for _, updates in lengths)
    fewer = [f"*{who}* {number(updates)}" for who, updates in sorted(lengths) if updates < most]
    return f"{number(most)} updates" + (f" ({listed(fewer)})" if fewer else "")
