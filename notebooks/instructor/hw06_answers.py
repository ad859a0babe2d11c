"""Homework 6: answers that must get full points, and mistakes that must be named. Not for students.

`RIGHT` holds other ways to write each answer; `WRONG` changes the official one: (old, new, part of the visible
check's message). The tests of the grader run them all.

| question | nearest in `rlcourse` | why calling it fails |
|---|---|---|
| redq | `td3.bellman_target` | takes the minimum over all critics, of networks and tensors |
| expected-minimum | `td3.bellman_target` | knows one minimum, no average over subsets |
| drift | `ddpg.ornstein_uhlenbeck` | draws one step; gives the long-run spread in words, not that of the sum |
| averaged-target | `td3.bellman_target` | one noise per transition, given; tensors and a `Batch` |
"""

RIGHT = {
    "redq": [
        """
def redq_target(reward, terminated, next_q, subset, gamma):
    q = np.full(len(reward), np.inf)
    for critic in subset:
        q = np.minimum(q, next_q[critic])
    return reward + gamma * (1 - terminated) * q
""",
        """
def redq_target(reward, terminated, next_q, subset, gamma):
    print("a print that somebody forgot")
    targets = []
    for b in range(len(reward)):
        follows = 0.0 if terminated[b] else min(next_q[i, b] for i in subset)
        targets.append(reward[b] + gamma * follows)
    return targets
""",
    ],
    "expected-minimum": [
        """
from itertools import combinations


def expected_subset_minimum(next_q, size):
    next_q = np.float32(next_q)
    subsets = list(combinations(range(len(next_q)), size))
    return sum(next_q[list(subset)].min(0) for subset in subsets) / len(subsets)
""",
        """
import math


def expected_subset_minimum(next_q, size):
    n = len(next_q)
    # the chance that none of the `rank` smallest is in the subset
    above = np.array([math.comb(n - rank, size) / math.comb(n, size) for rank in range(n + 1)])
    ranked = np.sort(next_q, axis=0)
    return ((above[:-1] - above[1:])[:, None] * ranked).sum(0)
""",
        """
def expected_subset_minimum(next_q, size):
    averages = []
    for column in next_q.T:
        chance, total = size / len(column), 0.0
        for k, q in enumerate(sorted(column)):
            total += chance * q
            left = len(column) - k - 1
            chance *= max(left - size + 1, 0) / max(left, 1)
        averages.append(total)
    return averages
""",
    ],
    "drift": [
        """
import math


def drift_std(reversion, scale, steps):
    keep = 1 - reversion
    # the covariance of n_i and n_j, summed over both
    spread = [scale**2 * sum(keep ** (2 * k) for k in range(i)) for i in range(1, steps + 1)]
    total = sum(spread[min(i, j)] * keep ** abs(i - j) for i in range(steps) for j in range(steps))
    return math.sqrt(total)
""",
        """
def drift_std(reversion, scale, steps):
    move = np.array([[1 - reversion, 0.0], [1 - reversion, 1.0]])  # of (n, d)
    noise = scale**2 * np.ones((2, 2))
    covariance = np.zeros((2, 2))
    for _ in range(steps):
        covariance = move @ covariance @ move.T + noise
    return covariance[1, 1] ** 0.5
""",
    ],
    "averaged-target": [
        """
def averaged_target(batch, nets, normal, sigma, clip, gamma):
    total = np.zeros(len(batch["reward"]))
    best = nets["target_actor"](batch["next_obs"])
    for z in normal:
        action = np.clip(best + np.clip(sigma * z, -clip, clip), -1, 1)
        q = np.inf
        for critic in nets["target_critics"]:
            q = np.minimum(q, critic(batch["next_obs"], action))
        total += q / len(normal)
    return batch["reward"] + np.where(batch["terminated"], 0.0, gamma * total)
""",
        """
def averaged_target(batch, nets, normal, sigma, clip, gamma):
    k, b, a = normal.shape
    state = np.tile(batch["next_obs"], (k, 1))
    noise = np.minimum(np.maximum(sigma * normal.reshape(k * b, a), -clip), clip)
    action = np.minimum(np.maximum(nets["target_actor"](state) + noise, -1), 1)
    q = np.stack([critic(state, action) for critic in nets["target_critics"]])
    average = q.min(axis=0).reshape(k, b).mean(axis=0)
    return batch["reward"] + gamma * (1 - batch["terminated"]) * average
""",
    ],
    "diagnosis": [
        """
diagnosis = dict(
    A="targets never updated",
    B="bootstraps past the end",
    C="the actor goes down the critic",
    D="the actor's loss trains the critic",
)
""",
        """
diagnosis = {}
diagnosis["D"] = CAUSES[4]
diagnosis["C"] = CAUSES[3]
diagnosis["A"] = CAUSES[2]
diagnosis["B"] = CAUSES[1]
""",
    ],
}

WRONG = {
    "redq": [
        ("next_q[subset]", "next_q", "over all critics"),
        (".min(axis=0)", ".mean(axis=0)", "the mean over the subset"),
        (".min(axis=0)", ".max(axis=0)", "the largest of the subset"),
        ("next_q[subset]", "next_q[: len(subset)]", "the first critics"),
        (".min(axis=0)", ".min()", "one minimum for the whole batch"),
        (".min(axis=0)", ".min(axis=1)", "the minimum is over the states"),
        ("np.where(terminated, 0.0, pessimistic)", "pessimistic", "bootstraps past the end"),
        ("np.where(terminated, 0.0, pessimistic)", "np.where(terminated, pessimistic, 0.0)", "the wrong way round"),
        ("gamma * np", "np", "γ is missing"),
        (".min(axis=0)", ".min(axis=0)[:, None]", "has shape (3, 3)"),
        (
            "reward + gamma * np.where(terminated, 0.0, pessimistic)",
            "~terminated * (reward + gamma * pessimistic)",
            "took the reward away",
        ),
        ("next_q[subset]", "np.delete(next_q, subset, axis=0)", "the critics outside the subset"),
        ("next_q[subset]", "next_q[np.array(subset) - 1]", "critics are numbered from 0"),
        (
            "next_q[subset].min(axis=0)",
            "min((next_q[i] for i in subset), key=np.sum)",
            "one critic for the whole batch",
        ),
        ("next_q[subset]", "next_q[subset[:2]]", "only two of the subset"),
        (
            "next_q[subset].min(axis=0)",
            "next_q[next_q[subset].argmin(axis=0), np.arange(next_q.shape[1])]",
            "argmin is a place in the subset",
        ),
        (
            "reward + gamma * np.where(terminated, 0.0, pessimistic)",
            "gamma * (reward + np.where(terminated, 0.0, pessimistic))",
            "the reward is discounted, too",
        ),
    ],
    "expected-minimum": [
        ("np.sort(next_q, axis=0)", "np.sort(next_q, axis=0)[::-1]", "the expected largest"),
        ("np.sort(next_q, axis=0)", "next_q[next_q.mean(1).argsort()]", "ranked by their mean"),
        ("np.array(ways) @ ranked / math.comb(count, size)", "ranked[0]", "over all critics"),
        ("np.array(ways) @ ranked / math.comb(count, size)", "ranked[:size].mean(0)", "the mean of the M smallest"),
        ("math.comb(count - rank - 1, size - 1)", "math.comb(count - rank - 1, size)", "do not sum to 1"),
        (
            "math.comb(count - rank - 1, size - 1)",
            "((count - rank) ** size - (count - rank - 1) ** size) * math.comb(count, size) / count**size",
            "drawn with replacement",
        ),
        ("np.array(ways) @ ranked / math.comb(count, size)", "next_q.mean(0)", "the mean of all critics"),
        ("np.sort(next_q, axis=0)", "np.sort(next_q)", "the states were sorted"),
        ("math.comb(count - rank - 1, size - 1)", "math.comb(count - rank, size - 1)", "counted among the others"),
        ("np.sort(next_q, axis=0)", "next_q", "the critics are not ranked"),
        (
            "np.array(ways) @ ranked / math.comb(count, size)",
            "np.array(ways) @ ranked",
            "the number of all subsets is missing",
        ),
        ("/ math.comb(count, size)", "/ count", "divided by the number of critics"),
        ("/ math.comb(count, size)", "/ math.comb(count - 1, size - 1)", "those with one given critic"),
        (
            "np.array(ways) @ ranked / math.comb(count, size)",
            "np.array(ways)[1:] @ ranked[1:] / math.comb(count, size)",
            "the smallest critic is left out",
        ),
        (
            "np.array(ways) @ ranked / math.comb(count, size)",
            "next_q[:size].min(axis=0)",
            "one subset, the first critics",
        ),
        (
            "math.comb(count - rank - 1, size - 1) for rank in range(count)",
            "math.comb(count - rank - 2, size - 1) if rank < count - 1 else 0 for rank in range(count)",
            "one critic too few",
        ),
    ],
    "drift": [
        ("(1 - (1 - reversion) ** remaining) / reversion", "np.ones(steps)", "forgets what the noise remembers"),
        (
            "(1 - (1 - reversion) ** remaining) / reversion",
            "(1 - reversion**remaining) / (1 - reversion)",
            "1 − θ remains",
        ),
        (
            "(1 - (1 - reversion) ** remaining) / reversion",
            "(1 - reversion) ** (remaining - 1)",
            "the last noise alone",
        ),
        ("scale * np.sqrt((reach**2).sum())", "scale**2 * (reach**2).sum()", "the variance"),
        ("np.sqrt((reach**2).sum())", "reach.sum()", "the squares of independent parts add"),
        ("np.arange(1, steps + 1)", "np.arange(steps)", "one step is missing"),
        (
            "(1 - (1 - reversion) ** remaining) / reversion",
            "steps * np.sqrt(1 / (1 - (1 - reversion) ** 2) / steps) * np.ones(steps)",
            "the long-run",
        ),
        ("scale * np.sqrt((reach**2).sum())", "np.sqrt(scale * (reach**2).sum())", "without its square"),
        (
            "(1 - (1 - reversion) ** remaining) / reversion",
            "np.sqrt((1 - (1 - reversion) ** (2 * remaining)) / (1 - (1 - reversion) ** 2))",
            "the noises are not independent",
        ),
        ("(reach**2).sum()", "reach.sum()", "the contribution of each ε is squared"),
        ("np.sqrt((reach**2).sum())", "reach.max()", "the first ε alone"),
        ("np.arange(1, steps + 1)", "np.arange(2, steps + 2)", "one step too many"),
        (
            "(1 - (1 - reversion) ** remaining) / reversion",
            "(1 - reversion) * (1 - (1 - reversion) ** remaining) / reversion",
            "is in its own noise whole",
        ),
        ("scale * np", "np", "σ is missing"),
        (
            "(1 - (1 - reversion) ** remaining) / reversion",
            "np.ones(steps) / np.sqrt(1 - (1 - reversion) ** 2)",
            "as if the noises were independent",
        ),
        (
            "(1 - (1 - reversion) ** remaining) / reversion",
            "np.ones(steps) / reversion",
            "as if each ε had all the time",
        ),
        ("(reach**2).sum()", "(reach**2).mean()", "the mean over the steps"),
    ],
    "averaged-target": [
        ("np.clip(sigma * normal, -clip, clip)", "sigma * np.clip(normal, -clip, clip)", "before it is scaled"),
        ('nets["target_actor"](state)', 'nets["target_actor"](batch["obs"])', "belongs to s′, not to s"),
        ("np.clip(sigma * normal, -clip, clip)", "sigma * normal", "the noise is larger than the clip allows"),
        (
            'np.clip(nets["target_actor"](state) + noise, -1, 1)',
            'nets["target_actor"](state) + noise',
            "the noisy action leaves [−1, 1]",
        ),
        ('nets["target_actor"]', 'nets["actor"]', "the target's own actor"),
        ('nets["target_critics"]', 'nets["critics"]', "the learning critics judge"),
        ('gamma * ~batch["terminated"]', "gamma", "bootstraps past the end"),
        ("judged.min(axis=1).mean(axis=0)", "judged.mean(axis=0).min(axis=0)", "the smaller of the averages"),
        ("critic(state, a)", 'critic(batch["obs"], a)', "the critics judge at s"),
        ("judged.min(axis=1)", "judged.mean(axis=1)", "the mean of the two critics"),
        ("gamma * ~batch", "1 * ~batch", "γ is missing"),
        (
            '[[critic(state, a) for critic in nets["target_critics"]] for a in actions])',
            '[critic(state, actions) for critic in nets["target_critics"]]).swapaxes(0, 1)',
            "same number of dimensions",
        ),
        (".mean(axis=0)", ".sum(axis=0)", "the sum over the noises"),
        ("judged.min(axis=1)", "judged.max(axis=1)", "the larger critic"),
        (
            'noise, state = np.clip(sigma * normal, -clip, clip), batch["next_obs"]\n    actions = np.clip(nets["target_actor"](state) + noise, -1, 1)\n    judged = np.array([[critic(state, a) for critic in nets["target_critics"]] for a in actions])  # (K, 2, B)\n    return batch["reward"] + gamma * ~batch["terminated"] * judged.min(axis=1).mean(axis=0)',
            'noise, state = sigma * normal, batch["next_obs"]\n    actions = nets["actor"](batch["obs"]) + noise\n    judged = np.array([[critic(state, a) for critic in nets["critics"]] for a in actions])  # (K, 2, B)\n    return batch["reward"] + gamma * judged.mean(axis=0).min(axis=0)',
            "none of the slips is mended",
        ),
        (
            'noise, state = np.clip(sigma * normal, -clip, clip), batch["next_obs"]\n    actions = np.clip(nets["target_actor"](state) + noise, -1, 1)\n    judged = np.array([[critic(state, a) for critic in nets["target_critics"]] for a in actions])  # (K, 2, B)\n    return batch["reward"] + gamma * ~batch["terminated"] * judged.min(axis=1).mean(axis=0)',
            'noise, state = sigma * normal, batch["next_obs"]\n    actions = nets["target_actor"](state) + noise\n    judged = np.array([[critic(state, a) for critic in nets["target_critics"]] for a in actions])  # (K, 2, B)\n    return batch["reward"] + gamma * ~batch["terminated"] * judged.min(axis=1).mean(axis=0)',
            "neither the noise nor the action is clipped",
        ),
        (
            'noise, state = np.clip(sigma * normal, -clip, clip), batch["next_obs"]\n    actions = np.clip(nets["target_actor"](state) + noise, -1, 1)\n    judged = np.array([[critic(state, a) for critic in nets["target_critics"]] for a in actions])  # (K, 2, B)\n    return batch["reward"] + gamma * ~batch["terminated"] * judged.min(axis=1).mean(axis=0)',
            'noise, state = np.clip(sigma * normal, -clip, clip), batch["next_obs"]\n    actions = np.clip(nets["actor"](state) + noise, -1, 1)\n    judged = np.array([[critic(state, a) for critic in nets["critics"]] for a in actions])  # (K, 2, B)\n    return batch["reward"] + gamma * ~batch["terminated"] * judged.min(axis=1).mean(axis=0)',
            "actor and critics are the learning ones",
        ),
        (
            'noise, state = np.clip(sigma * normal, -clip, clip), batch["next_obs"]\n    actions = np.clip(nets["target_actor"](state) + noise, -1, 1)\n    judged = np.array([[critic(state, a) for critic in nets["target_critics"]] for a in actions])  # (K, 2, B)\n    return batch["reward"] + gamma * ~batch["terminated"] * judged.min(axis=1).mean(axis=0)',
            'noise, state = np.clip(sigma * normal, -clip, clip), batch["next_obs"]\n    actions = np.clip(nets["target_actor"](state) + noise, -1, 1)\n    judged = np.array([[critic(state, a) for critic in nets["target_critics"]] for a in actions])  # (K, 2, B)\n    return batch["reward"] + gamma * judged.mean(axis=0).min(axis=0)',
            "bootstraps past the end, and the smaller of",
        ),
        (
            'noise, state = np.clip(sigma * normal, -clip, clip), batch["next_obs"]\n    actions = np.clip(nets["target_actor"](state) + noise, -1, 1)\n    judged = np.array([[critic(state, a) for critic in nets["target_critics"]] for a in actions])  # (K, 2, B)\n    return batch["reward"] + gamma * ~batch["terminated"] * judged.min(axis=1).mean(axis=0)',
            'noise, state = np.clip(sigma * normal, -clip, clip), batch["obs"]\n    actions = np.clip(nets["target_actor"](state) + noise, -1, 1)\n    judged = np.array([[critic(state, a) for critic in nets["target_critics"]] for a in actions])  # (K, 2, B)\n    return batch["reward"] + gamma * ~batch["terminated"] * judged.min(axis=1).mean(axis=0)',
            "actions and values belong to s",
        ),
        ("judged.min(axis=1)", "judged[:, 0]", "the first critic alone"),
        (
            'batch["reward"] + gamma * ~batch["terminated"] * judged.min(axis=1).mean(axis=0)',
            '~batch["terminated"] * (batch["reward"] + gamma * judged.min(axis=1).mean(axis=0))',
            "the mask took the reward away",
        ),
        (".mean(axis=0)", ".min(axis=0)", "only the one with the smaller value"),
        (".mean(axis=0)", ".max(axis=0)", "only the one with the larger value"),
        (".mean(axis=0)", ".mean()", "one value for the whole batch"),
        (
            "np.clip(sigma * normal, -clip, clip)",
            "np.clip(sigma * normal, -clip, clip).mean(axis=0, keepdims=True)",
            "the noises were averaged",
        ),
        (
            "np.clip(sigma * normal, -clip, clip)",
            "np.clip(sigma * normal.mean(axis=0, keepdims=True), -clip, clip)",
            "the noises were averaged before the clip",
        ),
        ('~batch["terminated"]', 'batch["terminated"]', "the mask is the wrong way round"),
        ("np.clip(sigma * normal", "np.clip(normal", "σ is missing"),
        ("noise, -1, 1)", "noise, -clip, clip)", "that is the noise's limit"),
    ],
    "diagnosis": [
        ('["A"] = "targets never updated"', '["A"] = "bootstraps past the end"', ""),
        ('["B"] = "bootstraps past the end"', '["B"] = "no exploration noise"', ""),
        ('["C"] = "the actor goes down the critic"', '["C"] = "bootstraps past the end"', ""),
        ('["D"] = "the actor\'s loss trains the critic"', '["D"] = "target noise not clipped"', ""),
    ],
}

# Small changes that no hidden check can tell from the solution, and why.
EQUIVALENT = {
    "expected-minimum": {
        "return ways @ ranked / math.comb(count, size)": "a list multiplies as an array does",
    },
    "drift": {
        "remaining = np.arange(steps + 1)": "0 steps reach 0",
        "remaining = np.arange(0, steps + 1)": "0 steps reach 0",
        "reach = ((1 - reversion) ** remaining - 1) / reversion": "it is squared",
    },
    "averaged-target": {
        "noise, state = (np.clip(-clip, sigma * normal, clip), batch['next_obs'])": "NumPy takes the larger of the first two",
        "actions = np.clip(-1, nets['target_actor'](state) + noise, 1)": "NumPy takes the larger of the first two",
    },
}
