"""Homework 2: answers that must get full points, and mistakes that must be named. Not for students.

As in homework 1: `RIGHT` holds other ways to write each answer; `WRONG` changes the official one.
"""

RIGHT = {
    "tree-backup": [
        """
def tree_backup_target(rewards, terminated, actions, q, policy, gamma):
    targets = []
    for b in range(len(rewards)):
        target = None
        for k in range(rewards.shape[1] - 1, -1, -1):
            leaves = q[b, k].copy()
            if target is not None:
                leaves[actions[b, k]] = target  # the action that was taken is worth what followed it
            target = rewards[b, k]
            if not terminated[b, k]:
                target += gamma * policy[b, k] @ leaves
        targets.append(target)
    return np.array(targets)
""",
        """
def tree_backup_target(rewards, terminated, actions, q, policy, gamma):
    # forwards: a sum of TD errors, each weighted by the probabilities of the actions so far
    expected = (policy * q).sum(-1)
    target = rewards[:, 0] + gamma * ~terminated[:, 0] * expected[:, 0]
    weight = np.ones(len(rewards))
    for k in range(1, rewards.shape[1]):
        taken = np.take_along_axis(q[:, k - 1], actions[:, [k - 1]], 1)[:, 0]
        weight *= gamma * ~terminated[:, k - 1] * np.take_along_axis(policy[:, k - 1], actions[:, [k - 1]], 1)[:, 0]
        target = target + weight * (rewards[:, k] + gamma * ~terminated[:, k] * expected[:, k] - taken)
    return target
""",
    ],
    "rank-based": [
        """
def rank_based(td_error, alpha, beta):
    priority = np.zeros(len(td_error))
    for rank, i in enumerate(sorted(range(len(td_error)), key=lambda i: -abs(td_error[i])), 1):
        priority[i] = 1.0 * rank**-alpha
    probability = priority / priority.sum()
    weight = (probability.min() / probability) ** beta
    return probability, weight
""",
        """
def rank_based(td_error, alpha, beta):
    order = np.argsort(np.abs(td_error))[::-1]
    rank = np.argsort(order) + 1
    probability = np.exp(-alpha * np.log(rank))
    probability /= np.sum(probability)
    weight = np.power(1 / (len(rank) * probability), beta)
    return [probability, weight / np.max(weight)]
""",
    ],
    "mixed-residual": [
        """
def mixed_residual_loss(q, next_q, reward, terminated, gamma, mix):
    best = next_q.amax(-1)
    y = reward + gamma * (1 - terminated) * (best.detach() + mix * (best - best.detach()))
    return torch.nn.functional.mse_loss(q, y) / 2
""",
        """
def mixed_residual_loss(q, next_q, reward, terminated, gamma, mix):
    def loss(q, next_q):
        target = reward + gamma * torch.where(terminated > 0, 0.0, next_q.max(-1).values)
        return 0.5 * (target - q).pow(2).mean()

    return (1 - mix) * loss(q, next_q.detach()) + mix * loss(q, next_q)
""",
    ],
    "maxmin": [
        """
def maxmin_target(rewards, ended, q, gamma):
    y = np.zeros(len(rewards))
    for r in rewards.T[::-1]:
        y = r + gamma * y
    return y + gamma ** rewards.shape[1] * np.where(ended, 0, q.min(axis=0).max(axis=1))
""",
        """
def maxmin_target(rewards, ended, q, gamma):
    result = []
    for b in range(len(rewards)):
        value = max(min(critic[b, a] for critic in q) for a in range(q.shape[2]))
        steps = [*rewards[b], 0.0 if ended[b] else value]
        result.append(sum(gamma**k * x for k, x in enumerate(steps)))
    return result
""",
    ],
    "diagnosis": [
        """
diagnosis = dict(A="frozen target network", B="no terminal mask")
diagnosis |= {"C": "(B,) against (B, 1)", "D": "reward scale off"}
""",
        """
causes = ["frozen target network", "no terminal mask", "(B,) against (B, 1)", "reward scale off"]
diagnosis = {run: cause for run, cause in zip("ABCD", causes)}
""",
    ],
}

WRONG = {
    "tree-backup": [
        ("expected[:, k] - policy[taken] * q[taken]", "expected[:, k]", "the taken action is counted twice"),
        ("rest + policy[taken] * target", "rest + target", "without its probability"),
        (
            "target = rewards[:, -1] +",
            "terminated = np.zeros_like(terminated)\n    target = rewards[:, -1] +",
            "bootstraps past the end",
        ),
        ("gamma * (1 - terminated[:, k]) *", "gamma *", "in the steps before the last one"),
        ("gamma * (1 - terminated[:, -1]) *", "gamma *", "in the last step alone"),
        ("gamma * (1 - terminated[:, k]) *", "(1 - terminated[:, k]) *", "γ is missing between the steps"),
        ("expected[:, -1]", "q[:, -1].max(-1)", "the last step takes the maximum"),
        ("range(n - 1)", "range(min(1, n - 1))", "only the first two"),
        ("for k in reversed(range(n - 1)):", "for k in range(n - 1):", "from the first step to the last"),
    ],
    "rank-based": [
        ("-np.abs(td_error)", "-td_error", "by the signed error"),
        ("-np.abs(td_error)", "np.abs(td_error)", "the smallest error has rank 1"),
        (
            "rank[np.argsort(-np.abs(td_error))] = np.arange(1, len(td_error) + 1)",
            "rank[:] = np.argsort(-np.abs(td_error)) + 1",
            "argsort gives the order, not the ranks",
        ),
        (
            "rank[np.argsort(-np.abs(td_error))] = np.arange(1, len(td_error) + 1)",
            "rank[:] = [1 + (np.abs(td_error) > abs(error)).sum() for error in td_error]",
            "errors of equal size share a rank",
        ),
        (
            "rank[np.argsort(-np.abs(td_error))] = np.arange(1, len(td_error) + 1)",
            "rank[:] = [((np.abs(td_error) > abs(x)).sum() + (np.abs(td_error) >= abs(x)).sum() + 1) / 2 for x in td_error]",
            "share the mean of their ranks",
        ),
        (
            "rank[np.argsort(-np.abs(td_error))] = np.arange(1, len(td_error) + 1)",
            "rank[:] = 1 + np.unique(-np.abs(td_error), return_inverse=True)[1]",
            "are counted as one",
        ),
        ("(1 / rank) ** alpha", "np.abs(td_error) ** alpha", "that is the proportional variant"),
        ("(1 / rank) ** alpha", "1 / rank", "α is missing"),
        ("** -beta", "** beta", "the weight grows with the probability"),
        ("weight / weight.max()", "weight", "not divided by the largest"),
        ("** -beta", "** -alpha", "the exponent of the weight is β, not α"),
        ("(1 / rank) ** alpha", "(1 / rank) ** beta", "the exponent of the rank is α, not β"),
    ],
    "mixed-residual": [
        ("value.detach()", "value", "nothing is detached"),
        ("mix * value + (1 - mix) * value.detach()", "value.detach()", "everything is detached"),
        ("mix * value + (1 - mix) * value.detach()", "(1 - mix) * value + mix * value.detach()", "the wrong way round"),
        ("(1 - terminated) * ", "", "bootstraps past the end"),
        (".mean()", ".sum()", "the sum over the batch"),
        ("0.5 * (error", "(error", "½ is missing"),
    ],
    "maxmin": [
        ("q.min(0).max(-1)", "q.max(-1).min(0)", "the order of minimum and maximum"),
        ("q.min(0).max(-1)", "q.min(-1).max(0)", "minimum over the actions"),
        ("gamma ** np.arange(n)", "gamma ** np.zeros(n)", "the rewards are not discounted"),
        ("(1 - ended) * ", "", "bootstraps past the end"),
        ("gamma**n", "gamma", "the bootstrap is discounted once"),
        ("q.min(0)", "q.mean(0)", "the mean of the critics"),
        ("q.min(0)", "q.max(0)", "the maximum of the critics"),
    ],
    "diagnosis": [
        ('["A"] = "frozen target network"', '["A"] = "reward scale off"', ""),
        ('["B"] = "no terminal mask"', '["B"] = "(B,) against (B, 1)"', ""),
        ('["C"] = "(B,) against (B, 1)"', '["C"] = "no terminal mask"', ""),
        ('["D"] = "reward scale off"', '["D"] = "healthy"', ""),
    ],
}

# Small changes that no hidden check can tell from the solution, and why.
EQUIVALENT = {
    "rank-based": {
        "priority = (2 / rank) ** alpha": "a common factor cancels",
        "weight = probability ** (-beta)": "a common factor cancels",
        "weight = (len(rank) * probability * len(rank)) ** (-beta)": "a common factor cancels",
    },
    "mixed-residual": {
        "error = q - (reward + gamma * (1 - terminated) * value)": "it is squared",
    },
}
