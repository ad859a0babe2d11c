"""Lecture 3: what causality and a baseline are worth together."""

import numpy as np
from IPython.display import Markdown

from rlcourse.curves import reference
from rlcourse.findings.phrases import finding, seeds

LOW, HIGH = 300, 490


def worth() -> Markdown:
    plain, both = reference("03_plain"), reference("03_cartpole_reinforce")
    best = np.maximum.accumulate(plain.returns, axis=1)
    halved = (plain.returns < best / 2).any(1)
    ends = plain.returns[:, -1], both.returns[:, -1]
    return finding(
        f"With causality and a baseline, {(ends[1] > HIGH).sum()} of {len(ends[1])} seeds end above {HIGH}. With "
        f"neither, {(ends[0] < LOW).sum()} of {len(ends[0])} end below {LOW}.",
        "The two changes are made together, so these runs do not say what each of them is worth.",
        f"The means at the end are {ends[1].mean():.0f} with both and {ends[0].mean():.0f} with neither "
        f"({seeds(plain, both)} each). With neither, {halved.sum()} seeds fall below half of their best score in some "
        f"evaluation; of these, {(halved & (ends[0] > HIGH)).sum()} ends above {HIGH} again.",
    )
