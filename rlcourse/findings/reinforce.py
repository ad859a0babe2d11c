"""Lecture 3: what causality and a baseline are worth together."""

import numpy as np
from IPython.display import Markdown

from rlcourse.curves import reference
from rlcourse.findings.phrases import folded, seeds

LOW, HIGH = 300, 490


def worth() -> Markdown:
    plain, both = reference("03_plain"), reference("03_cartpole_reinforce")
    best = np.maximum.accumulate(plain.returns, axis=1)
    halved = (plain.returns < best / 2).any(1).sum()
    ends = plain.returns[:, -1], both.returns[:, -1]
    return folded(
        f"**With neither**, {(ends[0] < LOW).sum()} of {len(ends[0])} seeds end below {LOW}, and {halved} of them "
        "lose more than half of their best score on the way.",
        f"**With both**, {(ends[1] > HIGH).sum()} of {len(ends[1])} seeds end above {HIGH}.",
        f"The means at the end are {ends[0].mean():.0f} and {ends[1].mean():.0f} ({seeds(plain, both)} each).",
    )
