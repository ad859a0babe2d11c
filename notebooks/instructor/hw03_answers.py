"""Homework 3: answers that must get full points, and mistakes that must be named. Not for students.

`RIGHT` holds other ways to write each answer; `WRONG` changes the official one: (old, new, part of the visible
check's message). The tests of the grader run them all.

Nearest in `rlcourse`, and why it does not answer:

| question | nearest | what is missing |
|---|---|---|
| weighted | `importance_weights.ratios` | ratios of single steps; no estimate of a return, no division by weights |
| control-variate | `reinforce.baseline` | plain means; no squared scores, no components |
| natural | none | no Fisher matrix anywhere |
| slips | `reinforce.trajectory_returns`, `.baseline` | ended episodes count as zeros; no scores, no gradient |
"""

RIGHT = {
    "weighted": [
        """
def weighted_estimate(reward, ratio, gamma):
    total, weight = 0.0, np.ones(len(reward))
    for t in range(reward.shape[1]):
        weight = weight * ratio[:, t]
        total += gamma**t * np.average(reward[:, t], weights=weight)
    print("a print that somebody forgot")
    return total
""",
        """
def weighted_estimate(reward, ratio, gamma):
    log_weight = np.cumsum(np.log(ratio), axis=1)
    share = np.exp(log_weight - log_weight.max(axis=0))
    share /= share.sum(axis=0)
    return np.polyval((share * reward).sum(axis=0)[::-1], gamma)
""",
    ],
    "control-variate": [
        """
def gradient_estimate(score, returns):
    total = np.zeros(score.shape[1])
    for i in range(len(score)):
        others = np.arange(len(score)) != i
        for d in range(score.shape[1]):
            b = np.average(returns[others], weights=score[others, d] ** 2)
            total[d] += score[i, d] * (returns[i] - b)
    return total / len(score)
""",
        """
def gradient_estimate(score, returns):
    others = 1 - np.eye(len(score))
    weight = np.square(score)
    baseline = others @ (weight * returns.reshape(-1, 1)) / (others @ weight)
    return np.einsum("id,id->d", score, returns[:, np.newaxis] - baseline) / len(score)
""",
    ],
    "natural": [
        """
def natural_step(logits, action, advantage, damping, max_kl):
    p = np.exp(logits) / np.exp(logits).sum()
    gradient, fisher = np.zeros(len(p)), damping * np.identity(len(p))
    for a, weight in zip(action, advantage):
        gradient += weight * (np.arange(len(p)) == a)
        gradient -= weight * p
    gradient /= len(action)
    for a in range(len(p)):  # E[score scoreᵀ], exactly
        score = (np.arange(len(p)) == a) - p
        fisher += p[a] * np.outer(score, score)
    direction = np.linalg.inv(fisher) @ gradient
    length = np.sqrt(direction @ fisher @ direction / 2)
    return direction * np.sqrt(max_kl) / length
""",
        """
def natural_step(logits, action, advantage, damping, max_kl):
    p = np.exp(logits - np.logaddexp.reduce(logits))
    gradient = np.bincount(action, advantage, minlength=len(p)) - advantage.sum() * p  # the length does not matter
    inverse = np.linalg.inv(np.diag(p + damping) - p[:, None] * p[None, :])
    return inverse @ gradient * (2 * max_kl / (gradient @ inverse @ gradient)) ** 0.5
""",
    ],
    "slips": [
        """
def policy_gradient(score, reward, length):
    total = np.zeros(score.shape[2])
    for i in range(len(reward)):
        for t in range(length[i]):
            others = [reward[j, t : length[j]].sum() for j in range(len(reward)) if j != i and length[j] > t]
            expected = np.mean(others) if others else 0.0
            total += score[i, t] * (reward[i, t : length[i]].sum() - expected)
    return total / len(reward)
""",
        """
def policy_gradient(score, reward, length):
    number, steps, size = score.shape
    gradient, to_go = np.zeros(size), np.zeros(number)
    for t in reversed(range(steps)):
        here = np.flatnonzero(length > t)
        to_go[here] += reward[here, t]
        for i in here:
            rest = to_go[here].sum() - to_go[i]
            gradient += (to_go[i] - (rest / (len(here) - 1) if len(here) > 1 else 0)) * score[i, t] / number
    return gradient
""",
    ],
    "diagnosis": [
        """
diagnosis = dict(
    A="baseline is the return itself",
    B="the first batch is used for ever",
    C="learning rate too large",
    D="advantage sign",
    E="log-probabilities of other actions",
)
""",
        """
causes = [
    "baseline is the return itself",
    "the first batch is used for ever",
    "learning rate too large",
    "advantage sign",
    "log-probabilities of other actions",
]
diagnosis = {name: cause for name, cause in zip("ABCDE", causes)}
""",
    ],
}

WRONG = {
    "weighted": [
        ("np.cumprod(ratio, axis=1)", "np.prod(ratio, axis=1, keepdims=True)", "the weight of the whole episode"),
        ("np.cumprod(ratio, axis=1)", "np.cumprod(ratio, axis=1) / ratio", "the ratio of the step itself is missing"),
        ("np.cumprod(ratio, axis=1)", "ratio", "the ratio of its own step only"),
        ("/ weight.sum(0)", "/ len(reward)", "that is the ordinary estimate"),
        ("/ weight.sum(0)", "/ weight.sum()", "the weights of all steps"),
        ("(discount * mean)", "mean", "γ is missing, or cancels"),
        (
            "np.cumprod(ratio, axis=1)\n    discount = gamma",
            "np.cumprod(ratio * gamma, axis=1)\n    discount = 1.0",
            "γ is no factor of theirs",
        ),
        ("np.arange(reward.shape[1])", "np.arange(1, 1 + reward.shape[1])", "the first reward is discounted"),
        ("np.cumprod(ratio, axis=1)", "np.cumprod(ratio, axis=0)", "runs over the episodes"),
    ],
    "control-variate": [
        ("(paid.sum(0) - paid) / (square.sum(0) - square)", "paid.sum(0) / square.sum(0)", "the episode's own return"),
        (
            "(paid.sum(0) - paid) / (square.sum(0) - square)",
            "(paid.sum(0) - paid) / square.sum(0)",
            "above the line only",
        ),
        (
            "(paid.sum(0) - paid) / (square.sum(0) - square)",
            "paid.sum(0) / (square.sum(0) - square)",
            "below the line only",
        ),
        ("square = score**2", "square = np.ones_like(score)", "the plain mean of the others"),
        ("square = score**2", "square = np.abs(score)", "the variance has their squares"),
        (
            "square = score**2",
            "square = (score**2).sum(1, keepdims=True) * np.ones_like(score)",
            "one baseline for all components",
        ),
        (" - baseline", "", "the baseline is not subtracted"),
        ("- baseline", "+ baseline", "the baseline is added"),
        (".mean(0)", ".sum(0)", "the sum over episodes"),
    ],
    "natural": [
        ("np.diag(p) - np.outer(p, p)", "np.diag(p)", "−ppᵀ is missing"),
        (" + damping * np.eye(len(p))", " + 1e-8 * np.eye(len(p))", "the damping is missing"),
        ("np.linalg.solve(fisher, gradient)", "fisher @ gradient", "it multiplies by F"),
        ("np.linalg.solve(fisher, gradient)", "gradient", "that is the plain gradient"),
        ("2 * max_kl", "max_kl", "the factor 2 is missing"),
        (
            "np.sqrt(2 * max_kl / (gradient @ direction))",
            "2 * max_kl / (gradient @ direction)",
            "the length has a square root",
        ),
        ("(gradient @ direction)", "(gradient @ gradient)", "measured without F"),
        ("np.eye(len(p))[action] - p", "np.eye(len(p))[action]", "the one-hot action minus the probabilities"),
        (
            "fisher = np.diag(p) - np.outer(p, p)",
            "fisher = score.T @ score / len(action)",
            "F is estimated from the batch",
        ),
    ],
    "slips": [
        (
            "(to_go.sum(0) - to_go) / np.maximum(others, 1)",
            "(others > 0) * to_go.sum(0) / np.maximum(others + 1, 1)",
            "the gradient shrinks",
        ),
        (
            "(to_go.sum(0) - to_go) / np.maximum(others, 1)",
            "to_go.sum(0) / np.maximum(others + 1, 1)",
            "own return, also where it runs alone",
        ),
        (
            'np.einsum("nt,ntd->d", advantage, score)',
            "advantage.sum(1) @ (running[..., None] * score).sum(1)",
            "it multiplies two sums",
        ),
        ("axis=1)[:, ::-1]\n", "axis=1)[:, ::-1] - reward * running\n", "the reward of the step itself is missing"),
        ("np.maximum(others, 1)", "(len(reward) - 1)", "episodes that are over count in the baseline"),
        ("running * (to_go - baseline)", "running * (to_go - baseline) * (others > 0)", "runs alone"),
        (
            "running)[:, ::-1], axis=1)[:, ::-1]\n    others = running.sum(0) - 1\n    baseline = (to_go.sum(0)",
            "1)[:, ::-1], axis=1)[:, ::-1]\n    others = running.sum(0) - 1\n    baseline = ((to_go * running).sum(0)",
            "mask them before you sum",
        ),
        ("(reward * running)", "reward", "ended episodes stand in the baseline"),
        (
            "running * (to_go - baseline)",
            "to_go - (others > 0) * baseline",
            "there its advantage is minus the baseline",
        ),
        ("running * (to_go - baseline)", "to_go - baseline", "counted, also where one episode runs alone"),
        ("/ len(reward)\n", "/ running.sum()\n", "divides by the number of steps"),
    ],
    "diagnosis": [
        ('diagnosis["A"] = "baseline is the return itself"', 'diagnosis["A"] = "policy never updated"', ""),
        ('diagnosis["B"] = "the first batch is used for ever"', 'diagnosis["B"] = "healthy"', ""),
        ('diagnosis["C"] = "learning rate too large"', 'diagnosis["C"] = "the first batch is used for ever"', ""),
        ('diagnosis["D"] = "advantage sign"', 'diagnosis["D"] = "log-probabilities of other actions"', ""),
        ('diagnosis["E"] = "log-probabilities of other actions"', 'diagnosis["E"] = "advantage sign"', ""),
    ],
}

# Small changes that no hidden check can tell from the solution, and why.
EQUIVALENT = {
    "weighted": {
        "mean = weight * reward / weight.sum(0)": "the last line sums over the episodes, too",
    },
    "natural": {
        "p = np.exp(logits + logits.max())": "a softmax does not change when one number is added to all logits",
        "p = np.exp(logits)": "a softmax does not change when one number is added to all logits",
        "p = np.exp(logits - logits.max() - logits.max())": "a softmax does not change when one number is added to all logits",
        "p = np.exp(logits - logits.min())": "a softmax does not change when one number is added to all logits",
        "p = np.exp(logits - action.max())": "a softmax does not change when one number is added to all logits",
        "p = np.exp(logits - advantage.max())": "a softmax does not change when one number is added to all logits",
        "p = np.exp(logits - np.zeros_like(logits).max())": "a softmax does not change when one number is added to all logits",
        "p = np.exp(logits - np.ones_like(logits).max())": "a softmax does not change when one number is added to all logits",
        "gradient = advantage @ score * len(action)": "the length of the gradient cancels",
        "gradient = advantage @ score": "the length of the gradient cancels",
        "gradient = advantage @ score / len(action) / len(action)": "the length of the gradient cancels",
        "fisher = np.diag(p) - np.outer(p, p) + damping * np.eye(len(p)) * np.eye(len(p))": "0 and 1 are their squares",
        "return np.sqrt(2 * max_kl / (direction @ gradient)) * direction": "an inner product is symmetric",
    },
    "slips": {
        "to_go = np.cumsum((reward * running * running)[:, ::-1], axis=1)[:, ::-1]": "running is 0 or 1",
        "advantage = running * (to_go - baseline) * running": "running is 0 or 1",
    },
}
