"""Lecture 10, offline: value traces, how much to copy, and who wins on which data."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from IPython.display import Markdown

from rlcourse.curves import CURVES, Curve, Estimate, digits, mean_estimate, reference
from rlcourse.findings import quoted
from rlcourse.findings.phrases import finding, interval, listed, number, page, seeds, summed, table, verdict

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


def recorded(data: str) -> dict[str, Curve]:
    """The learners that have been recorded on one of `DATA`: each new file joins the tables by itself."""
    return _those_recorded({learner: f"10_pendulum_{DATA[data]}_{file}" for learner, file in FILES.items()})


def _those_recorded(names: Mapping[str, str]) -> dict[str, Curve]:
    return {shown: reference(name) for shown, name in names.items() if (CURVES / f"{name}.json").exists()}


def about(data: str) -> Mapping[str, Any]:
    """What the dataset says of itself."""
    return dict(json.loads((DATASETS / f"pendulum/{data}-v0/data/metadata.json").read_text()))


def score(data: str, returns: np.ndarray) -> np.ndarray:
    """As `datasets.Dataset.score`, without reading the transitions."""
    said = about(data)
    low, high = said["ref_min_score"], said["ref_max_score"]
    return np.asarray(100 * (returns - low) / (high - low))


def ends(data: str) -> dict[str, Estimate]:
    """Every learner's score in the last evaluation."""
    return {learner: mean_estimate(score(data, curve.returns[:, -1])) for learner, curve in recorded(data).items()}


def over_cloning(data: str) -> dict[str, Estimate]:
    """How much more than the clone every learner scores in the last evaluation, seed by seed."""
    curves = recorded(data)
    last = {learner: score(data, curve.returns[:, -1]) for learner, curve in curves.items()}
    return {learner: mean_estimate(last[learner] - last["cloning"]) for learner in last if learner != "cloning"}


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
    shown = {data: {name: f"{each.value:.0f}" for name, each in found.items()} for data, found in scores.items()}
    rows = [(learner, *(shown[data].get(learner, "") for data in DATA)) for learner in FILES]
    gains = [
        (learner, *(interval(gain[learner]) if learner in gain else "" for gain in more.values()))
        for learner in FILES
        if learner != "cloning"
    ]
    return finding(
        " ".join(told),
        f"This is one small task with one number of action, and {seeds(*recorded('medium').values())}. γ, τ and "
        "IQL's β were chosen on these data; nothing else is tuned.",
        f"Mean score after {number(recorded('medium')['TD3'].step[-1])} updates; 0 is a random policy, 100 the policy "
        "behind the expert's data:",
        table(("learner", *DATA), rows),
        "More than cloning, seed by seed (95 % interval):",
        table(("learner", *DATA), gains),
    )


def paper() -> Markdown:
    printed = quoted.TD7_OFFLINE
    return page(
        f"**Full size, from a paper** ({printed.source}): {printed.unit}; {printed.steps}, {printed.trials} trials; ± "
        f"is the {printed.spread}.",
        printed.markdown(list(printed.rows)),
        "Do not compare these scores with ours: the tasks are others, the data are others, there are hundreds of times "
        "as many updates, and 100 is another expert. What can be compared is the order of the methods, where intervals "
        "lie apart. Where they do not, the paper uses Welch's t-test, which allows for two different spreads.",
    )
