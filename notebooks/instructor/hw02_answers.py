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
        (
            "gamma * (1 - terminated[:, k]) *",
            "(1 - terminated[:, k]) *",
            "γ is missing between the steps, not in the last",
        ),
        ("expected[:, -1]", "q[:, -1].max(-1)", "the last step takes the maximum"),
        ("range(n - 1)", "range(min(1, n - 1))", "only the first two"),
        ("for k in reversed(range(n - 1)):", "for k in range(n - 1):", "from the first step to the last"),
        ("(rest + policy[taken] * target)", "rest", "the branch of the action that was taken is missing"),
        ("(rest + policy[taken] * target)", "target", "that is the n-step return"),
        (
            "(rest + policy[taken] * target)",
            "policy[taken] * target",
            "the leaves are missing in all steps but the last",
        ),
        ("- policy[taken] * q[taken]", "- q[taken]", "subtract it with its probability"),
        (
            "expected[:, k] - policy[taken] * q[taken]",
            "q[:, k].sum(-1) - q[taken]",
            "the leaves count without their probabilities",
        ),
        ("gamma * ", "", "γ is missing everywhere"),
        ("target = rewards[:, -1] + gamma * ", "target = rewards[:, -1] + ", "γ is missing in the last step"),
        (
            "target = rewards[:, -1] + gamma * (1 - terminated[:, -1]) * expected[:, -1]",
            "target = rewards[:, -1]",
            "the last step has no leaves",
        ),
        ("expected[:, -1]", "q[:, -1].mean(-1)", "the last step takes the plain mean"),
        (
            "target = rewards[:, k] + gamma * (1 - terminated[:, k]) * (rest + policy[taken] * target)",
            "target = rewards[:, k] + (1 - terminated[:, k]) * (gamma * rest + policy[taken] * target)",
            "γ is missing before the branch",
        ),
        (
            "target = rewards[:, k] + gamma * (1 - terminated[:, k]) * (rest + policy[taken] * target)",
            "target = rewards[:, k] + (1 - terminated[:, k]) * (rest + gamma * policy[taken] * target)",
            "γ is missing before the leaves",
        ),
        (
            "taken = rows, k, actions[:, k]\n        rest = expected[:, k]",
            "taken = rows, k + 1, actions[:, k]\n        rest = expected[:, k + 1]",
            "the leaves of the wrong state",
        ),
        ("reversed(range(n - 1))", "reversed(range(1, n - 1))", "the first step is never backed up"),
        (
            "target = rewards[:, k] + gamma * (1 - terminated[:, k]) * (rest + policy[taken] * target)",
            "target = rewards[:, k] + gamma * (rest + (1 - terminated[:, k]) * policy[taken] * target)",
            "the leaves are not masked",
        ),
        (
            "target = rewards[:, k] + gamma * (1 - terminated[:, k]) * (rest + policy[taken] * target)",
            "target = rewards[:, k] + gamma * ((1 - terminated[:, k]) * rest + policy[taken] * target)",
            "the branch is not masked",
        ),
        (
            "        target = rewards[:, k] + gamma * (1 - terminated[:, k]) * (rest + policy[taken] * target)\n    return",
            "        target = (1 - terminated[:, k]) * (rewards[:, k] + gamma * (rest + policy[taken] * target))\n    return",
            "the mask took the reward away",
        ),
        (
            "target = rewards[:, -1] + gamma * (1 - terminated[:, -1]) * expected[:, -1]",
            "target = (1 - terminated[:, -1]) * (rewards[:, -1] + gamma * expected[:, -1])",
            "in the last step the mask took the reward",
        ),
        ("(1 - terminated[:, k])", "(1 - terminated[:, k + 1])", "the mask of the step after it"),
        ("taken = rows, k, actions[:, k]", "taken = rows, k, q[:, k].argmax(-1)", "the best action goes on"),
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
        ("(1 / rank) ** alpha", "1 / rank", "α is no exponent"),
        ("** -beta", "** beta", "the largest error has the largest weight"),
        ("weight / weight.max()", "weight", "not divided by the largest"),
        ("** -beta", "** -alpha", "the exponent of the weight is β, not α"),
        ("(1 / rank) ** alpha", "(1 / rank) ** beta", "the exponent of the rank is α, not β"),
        (
            "rank[np.argsort(-np.abs(td_error))] = np.arange(1, len(td_error) + 1)",
            "rank[:] = np.argsort(np.abs(td_error)) + 1",
            "not the ranks, and it sorts upwards: the largest error",
        ),
        (
            "rank[np.argsort(-np.abs(td_error))] = np.arange(1, len(td_error) + 1)",
            "rank[:] = np.arange(1, len(td_error) + 1)",
            "the ranks are those of the sorted errors",
        ),
        ("(1 / rank) ** alpha", "rank**alpha", "the priority is 1 / rank"),
        ("priority / priority.sum()", "priority", "the probabilities do not sum to 1: divide by"),
        (
            "priority = (1 / rank) ** alpha\n    probability = priority / priority.sum()",
            "priority = 1 / rank\n    probability = (priority / priority.sum()) ** alpha",
            "first the power, then the sum",
        ),
        (
            "rank[np.argsort(-np.abs(td_error))] = np.arange(1, len(td_error) + 1)",
            "rank[:] = [(np.abs(td_error) >= abs(error)).sum() for error in td_error]",
            "share the last of their ranks",
        ),
        (
            "return probability, weight / weight.max()",
            "return weight / weight.max(), probability",
            "the probabilities come first",
        ),
        ("weight / weight.max()", "weight / weight.sum()", "divided by their sum"),
        ("weight / weight.max()", "weight / weight.min()", "divided by the smallest"),
        ("** -beta", "** -1", "β is missing"),
        ("return probability, weight / weight.max()", "return probability", "two results are wanted"),
    ],
    "mixed-residual": [
        ("value.detach()", "value", "nothing is detached"),
        ("mix * value + (1 - mix) * value.detach()", "value.detach()", "everything is detached"),
        ("mix * value + (1 - mix) * value.detach()", "(1 - mix) * value + mix * value.detach()", "the wrong way round"),
        ("(1 - terminated) * ", "", "bootstraps past the end"),
        (".mean()", ".sum()", "the sum over the batch"),
        ("0.5 * (error", "(error", "½ is missing"),
        (
            "error = reward + gamma * (1 - terminated) * value - q\n    return 0.5 * (error**2).mean()",
            "value = next_q.max(-1).values\n    error = reward + gamma * (1 - terminated) * value - q\n    loss = 0.5 * (error**2).mean()\n    return mix * loss + (1 - mix) * loss.detach()",
            "lost a part of its gradient",
        ),
        (
            "error = reward + gamma * (1 - terminated) * value - q\n    return 0.5 * (error**2).mean()",
            "value = next_q.max(-1).values\n    error = reward + gamma * (1 - terminated) * value - mix * q - (1 - mix) * q.detach()\n    return 0.5 * (error**2).mean()",
            "the target is the constant of the semi-gradient",
        ),
        ("mix * value + (1 - mix) * value.detach()", "mix * value", "the value of the target shrinks"),
        ("mix * value + (1 - mix) * value.detach()", "mix * value + value.detach()", "the value of the target grows"),
        ("gamma * (1 - terminated)", "(1 - terminated)", "γ is missing"),
        ("next_q.max(-1).values", "next_q.mean(-1)", "the mean over the actions"),
        ("gamma * (1 - terminated) * value", "gamma * terminated * value", "the mask is the wrong way round"),
        (
            "reward + gamma * (1 - terminated) * value",
            "(1 - terminated) * (reward + gamma * value)",
            "the mask took the reward away",
        ),
        ("return 0.5 * (error**2).mean()", "return 0.5 * error**2", "one number is wanted"),
        ("return 0.5 * (error**2).mean()", "return (0.5 * (error**2).mean()).item()", "a tensor is wanted"),
    ],
    "maxmin": [
        ("q.min(0).max(-1)", "q.max(-1).min(0)", "the order of minimum and maximum"),
        ("q.min(0).max(-1)", "q.min(-1).max(0)", "minimum over the actions"),
        ("gamma ** np.arange(n)", "gamma ** np.zeros(n)", "the rewards are not discounted"),
        ("(1 - ended) * ", "", "bootstraps past the end"),
        ("gamma**n", "gamma", "the bootstrap is discounted once"),
        ("q.min(0)", "q.mean(0)", "the mean of the critics"),
        ("q.min(0)", "q.max(0)", "the maximum of the critics"),
        (
            "value = q.min(0).max(-1)\n    return (gamma ** np.arange(n) * rewards).sum(-1) + gamma**n * (1 - ended) * value",
            "value = q.max(-1).min(0)\n    return rewards.sum(-1) + gamma**n * value",
            "none of the three slips is mended",
        ),
        (
            "value = q.min(0).max(-1)\n    return (gamma ** np.arange(n) * rewards).sum(-1) + gamma**n * (1 - ended) * value",
            "value = q.max(-1).min(0)\n    return rewards.sum(-1) + gamma**n * (1 - ended) * value",
            "two slips are left: in the value, and in the rewards",
        ),
        (
            "value = q.min(0).max(-1)\n    return (gamma ** np.arange(n) * rewards).sum(-1) + gamma**n * (1 - ended) * value",
            "value = q.max(-1).min(0)\n    return (gamma ** np.arange(n) * rewards).sum(-1) + gamma**n * value",
            "two slips are left: in the value, and what is missing",
        ),
        (
            "value = q.min(0).max(-1)\n    return (gamma ** np.arange(n) * rewards).sum(-1) + gamma**n * (1 - ended) * value",
            "value = q.min(0).max(-1)\n    return rewards.sum(-1) + gamma**n * value",
            "two slips are left: in the rewards, and what is missing",
        ),
        ("gamma ** np.arange(n)", "gamma ** np.arange(1, n + 1)", "the first reward is discounted already"),
        ("gamma**n * (1", "gamma ** (n - 1) * (1", "discounted n − 1 times"),
        ("gamma**n * (1", "gamma ** (n + 1) * (1", "discounted n + 1 times"),
        ("gamma**n * (1", "(1", "the bootstrap is not discounted"),
        ("gamma ** np.arange(n)", "gamma ** np.arange(n)[::-1]", "the rewards are discounted from the wrong end"),
        (
            "(gamma ** np.arange(n) * rewards).sum(-1) + gamma**n * (1 - ended) * value",
            "(1 - ended) * ((gamma ** np.arange(n) * rewards).sum(-1) + gamma**n * value)",
            "the mask took the rewards away",
        ),
        ("q.min(0).max(-1)", "q.min(0).min(-1)", "the minimum over the actions, too"),
        ("q.min(0)", "q[0]", "the first critic alone"),
        ("(1 - ended)", "ended", "the mask is the wrong way round"),
        (
            "q.min(0).max(-1)",
            "np.take_along_axis(q, q[:1].argmax(-1, keepdims=True), -1)[..., 0].min(0)",
            "the action is chosen before the minimum",
        ),
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
