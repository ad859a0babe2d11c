"""Lecture 10, offline: value traces, how much to copy, and who wins on which data."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from IPython.display import Markdown

from rlcourse.curves import CURVES, Curve, Estimate, digits, mean_estimate, reference
from rlcourse.findings import quoted
from rlcourse.findings.phrases import VERDICTS, finding, interval, listed, number, page, seeds, summed, table, verdict
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
COPYING = {0.0: "td3", 0.1: "copying_0.1", 0.4: "td3_bc", 1.0: "copying_1", 10.0: "copying_10"}  # as recordings, too
BIAS = ("too much", "too little", "values whose error is not resolved")


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
    low, high = (about(data, task)[name] for name in ("ref_min_score", "ref_max_score"))
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
    weights = _those_recorded({f"λ = {weight:g}": f"10_pendulum_medium_{file}" for weight, file in COPYING.items()})
    return weights | {"cloning": recorded("medium")["cloning"]}


def traces() -> Markdown:
    curves = recorded("medium")
    biases = {learner: mean_estimate(curve.bias[:, -1]) for learner, curve in curves.items()}
    rows = [
        (learner, digits(curve.believed[:, -1].mean()), digits(curve.truth[:, -1].mean()), interval(biases[learner]))
        for learner, curve in curves.items()
        if curve.believed is not None and curve.truth is not None
    ]
    groups = {word: [f"*{name}*" for name, each in biases.items() if verdict(each, BIAS) == word] for word in BIAS}
    told = [f"critics of {listed(names)} believe {word}" for word, names in groups.items() if names]
    return finding(
        f"At the end, {listed(told)}. {_at_full_size()}",
        f"{seeds(*curves.values())} leave wide intervals. And a critic that has not looked far ahead believes too much "
        "here, since it begins near 0 and all rewards are negative.",
        f"Mean discounted value of the learned policy's own actions after {number(curves['TD3'].step[-1])} updates:",
        table(("learner", "believed", "true", "believed − true (95 % interval)"), rows),
        "*cloning* is IQL with β = 0: its critic does not influence its actor.",
    )


def _at_full_size() -> str:
    """What TD3's seeds believe on robots' medium data, where its actor has nothing to keep it near the data."""
    told = []
    for task in ("Hopper", "Walker2d", "HalfCheetah"):
        curve = recorded("medium", task)["TD3"]
        assert curve.believed is not None  # as recorded with --truths
        assert curve.truth is not None
        low, high = (number(end) for end in (curve.believed[:, -1].min(), curve.believed[:, -1].max()))
        told.append(f"between {low} and {high} on {task} (true on average: about {number(curve.truth[:, -1].mean())})")
    return (
        "On robots this error can grow without end, as the second figure shows for Hopper. After "
        f"{number(curve.step[-1])} updates on medium data, TD3's {seeds(curve)} believe {listed(told)}."
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


def _by_data(cells: Mapping[str, Mapping[str, str]]) -> str:
    """A row for each learner, a column for each kind of data."""
    found = [learner for learner in FILES if any(learner in column for column in cells.values())]
    rows = [(learner, *(column.get(learner, "") for column in cells.values())) for learner in found]
    return table(("learner", *cells), rows)


def winners() -> Markdown:
    more = {data: over_cloning(data) for data in DATA}
    told = [f"On *{data}*, compared with cloning: {summed(gain)}." for data, gain in more.items() if gain]
    guessed = {data: mean_estimate(recorded(data)["TD3"].bias[:, -1]) for data in DATA}
    return finding(
        " ".join(told),
        f"This is one small task whose action is one number, and {seeds(*recorded('medium').values())}. γ, τ, "
        "TD7's copies and IQL's β were chosen on these data; nothing else is tuned.",
        f"Mean score after {number(recorded('medium')['TD3'].step[-1])} updates; 0 is a random policy, 100 the policy "
        "behind the expert's data:",
        _by_data({data: {who: number(each.value) for who, each in ends(data).items()} for data in DATA}),
        "More than cloning, seed by seed (95 % interval):",
        _by_data({data: {who: interval(each) for who, each in gain.items()} for data, gain in more.items()}),
        "TD3 copies nothing. It believes too much by "
        f"{listed(f'{interval(each)} on *{data}*' for data, each in guessed.items())}. The means rise from "
        "*medium-replay* over *medium* to *expert*: as one expects, more has to be guessed where the data hold fewer "
        "kinds of action. But the intervals overlap.",
    )


def robots() -> dict[tuple[str, ...], dict[str, Curve]]:
    """What has been recorded on robots, by task and kind of data, as the paper's rows are named."""
    rows = [tuple(row.split()) for row in quoted.TD7_OFFLINE.rows]
    found = {row: recorded(row[1], row[0]) for row in rows if row[-1] in DATA}
    return {row: curves for row, curves in found.items() if curves}


def beside_paper() -> Markdown:
    printed, ours, lines = quoted.TD7_OFFLINE, robots(), list[tuple[object, ...]]()
    own = [learner for learner in FILES if any(learner in curves for curves in ours.values())]
    columns = (*printed.columns, *(learner for learner in own if learner not in printed.columns))
    for row in printed.rows:
        lines.append((row, "paper", *printed.line(row), *[""] * (len(columns) - len(printed.columns))))
        if (task_and_data := tuple(row.split())) in ours:
            task, data = task_and_data
            # For few seeds an interval is as long on both sides, see `mean_band`: so ± says all of it.
            shown = {who: Figure(each.value, each.high - each.value) for who, each in ends(data, task).items()}
            lines.append(("", "here", *(shown.get(learner, "") for learner in columns)))
    told, why, trials = "Nothing is recorded on robots yet.", "", f"{printed.trials} trials"
    if ours:
        told, why = _over_cloning_in_words(ours), f" {_why_other_scores(ours)}"
        trials += f" and, here, {seeds(*(curve for curves in ours.values() for curve in curves.values()))}"
    return page(
        f"**Robots, beside a paper.** {told}",
        f"The rows *paper* are {printed.source}; ± is the {printed.spread}, over {trials}.{why} Do not compare the "
        "scores of two experiments, but the order of the methods within each, and only where intervals lie apart. "
        "Where they do not, the paper uses Welch's t-test, which allows for two different spreads. X-QL is a relative "
        "of IQL that this course does not have.",
        f"{printed.unit}:",
        table(("data", "", *columns), lines),
    )


def _over_cloning_in_words(ours: Mapping[tuple[str, ...], Mapping[str, Curve]]) -> str:
    """For each kind of data: on how many tasks a learner is better than the clone, and on how many worse."""
    told = []
    for data in DATA:
        gains, parts = [gain for task, kind in ours if kind == data and (gain := over_cloning(data, task))], []
        for learner in FILES:
            words = [verdict(gain[learner]) for gain in gains if learner in gain]
            if counts := [f"{word} on {words.count(word)}" for word in VERDICTS[:2] if word in words]:
                parts.append(f"*{learner}* is {listed(counts)} of {len(words)} tasks")
        if gains:
            told.append(f"With *{data}* data, {'; '.join(parts) or 'no difference is resolved'}.")
    if not told:
        return "No learner is recorded beside a clone yet."
    return f"We compare with cloning, seed by seed. {' '.join(told)} No other difference is resolved."


def _why_other_scores(ours: Mapping[tuple[str, ...], Mapping[str, Curve]]) -> str:
    """One sentence: other data, another budget, another expert."""
    said = [(task, about(data, task)) for task, data in ours]
    acted = {f"{each['algorithm_name'].upper()} in {number(each['trained_steps'])} steps" for _, each in said}
    experts = dict.fromkeys(f"{task} {number(each['ref_max_score'])}, {each['expert']}" for task, each in said)
    lengths = {(who, int(curve.step[-1])) for curves in ours.values() for who, curve in curves.items()}
    most = max(updates for _, updates in lengths)
    fewer = [f"*{who}* {number(updates)}" for who, updates in sorted(lengths) if updates < most]
    return (
        "The two differ because the data, the budget and the expert do: the paper's learners had D4RL's data and "
        f"{quoted.TD7_OFFLINE.steps}, ours had what {listed(sorted(acted))} did or met, and {number(most)} updates"
        f"{f' ({listed(fewer)})' if fewer else ''}, and 100 is not D4RL's expert but this return: {'; '.join(experts)}."
    )
