"""What the recordings say, in sentences that are computed from the files under `assets/`: one module per lecture.

The lectures call these functions, so a text, its figure and its recording cannot disagree, and a new recording brings
new sentences. Words that hold for every recording are typed; words that hold for this one (better, worse, not resolved)
are chosen by its numbers, or a test in `tests/test_findings.py` says which sign they need. Figures of papers come from
`quoted`.
"""

from rlcourse.findings import actor_critic, dqn, her, offline, ppo, reinforce, sac, td3, td7

__all__ = ["actor_critic", "dqn", "her", "offline", "ppo", "reinforce", "sac", "td3", "td7"]
