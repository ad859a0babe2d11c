"""Homework 5: answers that must get full points, and mistakes that must be named. Not for students.

`RIGHT` holds other ways to write each answer; `WRONG` changes the official one: (old, new, part of the visible
check's message). The tests of the grader run them all.

Nearest in `rlcourse`, and why it does not answer:

| question | nearest | what is missing |
|---|---|---|
| value-loss | `ppo.critic_loss` | nothing is clipped; no old values |
| off-policy | `returns.gae` | no ratios |
| early-stopping | `ppo.actor_loss`, `ppo.kl` | losses for autograd, an estimated KL; nothing stops |
| slips | `returns.n_step_targets` | ends with the longest n there is, does not scale weights; normalises nothing |
"""

RIGHT = {
    "value-loss": [
        """
def clipped_value_loss(value, old_value, target, clip):
    moved = old_value + np.clip(value - old_value, -clip, clip)
    error = np.maximum(np.abs(value - target), np.abs(moved - target))
    stopped = (np.abs(value - old_value) > clip) & (np.abs(moved - target) > np.abs(value - target))
    return (error**2).sum() / (2 * len(error)), (1 - stopped) * (value - target) / len(value)
""",
        """
def clipped_value_loss(value, old_value, target, clip):
    loss, gradient = 0.0, []
    for v, old, y in zip(value, old_value, target):
        near = min(max(v, old - clip), old + clip)
        if abs(near - y) > abs(v - y):
            loss += 0.5 * (near - y) ** 2
            gradient.append(0.0)
        else:
            loss += 0.5 * (v - y) ** 2
            gradient.append((v - y) / len(value))
    print("a print that somebody forgot")
    return loss / len(value), gradient
""",
    ],
    "off-policy": [
        """
def corrected_targets(reward, value, next_value, terminated, truncated, ratio, gamma, lam, limit):
    target = []
    for t in range(len(reward)):
        total, carried = value[t], 1.0
        for k in range(t, len(reward)):
            following = 0.0 if terminated[k] else next_value[k]
            total += carried * min(limit, ratio[k]) * (reward[k] + gamma * following - value[k])
            if terminated[k] or truncated[k]:
                break
            carried *= gamma * lam * min(1.0, ratio[k])
        target.append(total)
    return target
""",
        """
def corrected_targets(reward, value, next_value, terminated, truncated, ratio, gamma, lam, limit):
    steps = len(reward)
    error = np.minimum(ratio, limit) * (reward + np.where(terminated, 0.0, gamma * next_value) - value)
    follows = np.where(terminated | truncated, 0.0, gamma * lam * np.clip(ratio, 0.0, 1.0))
    shift = np.diag(follows[:-1], 1)
    return value + np.linalg.solve(np.eye(steps) - shift, error)
""",
        """
def corrected_targets(reward, value, next_value, terminated, truncated, ratio, gamma, lam, limit):
    y = np.zeros(len(reward))
    for t in reversed(range(len(reward))):
        following = 0.0 if terminated[t] else next_value[t]
        y[t] = value[t] + min(limit, ratio[t]) * (reward[t] + gamma * following - value[t])
        if t + 1 < len(reward) and not (terminated[t] or truncated[t]):
            y[t] += gamma * lam * min(1.0, ratio[t]) * (y[t + 1] - next_value[t])  # V(s_{t+1}), to the letter
    return y
""",
    ],
    "early-stopping": [
        """
def until_too_far(logits, action, advantage, clip, lr, max_epochs, target_kl):
    def softmax(x):
        return np.exp(x) / np.exp(x).sum()

    start, x, kls = softmax(logits), np.array(logits), []
    while len(kls) < max_epochs and (not kls or kls[-1] <= 1.5 * target_kl):
        now = softmax(x)
        gradient = np.zeros(len(x))
        for a, advantage_of_a in zip(action, advantage):
            r = now[a] / start[a]
            clipped = min(max(r, 1 - clip), 1 + clip)
            if r * advantage_of_a <= clipped * advantage_of_a:
                gradient += r * advantage_of_a * (np.eye(len(x))[a] - now)
        x = x + lr * gradient / len(action)
        kls.append(np.sum(start * np.log(start / softmax(x))))
    return x, kls
""",
        """
def until_too_far(logits, action, advantage, clip, lr, max_epochs, target_kl):
    logits = np.float32(logits)
    old_p = np.exp(logits) / np.sum(np.exp(logits))
    theta, history = 1.0 * logits, []
    for epoch in range(max_epochs):
        p = np.exp(theta) / np.sum(np.exp(theta))
        r = p[action] / old_p[action]
        outside = ((advantage > 0) & (r > 1 + clip)) | ((advantage < 0) & (r < 1 - clip))
        weight = np.where(outside, 0.0, r * advantage) / len(advantage)
        per_action = np.bincount(action, weight, minlength=len(p))
        theta = theta + lr * (per_action - weight.sum() * p)
        p = np.exp(theta) / np.sum(np.exp(theta))
        history.append(np.dot(old_p, np.log(old_p) - np.log(p)))
        if history[-1] > 1.5 * target_kl:
            return theta, history
    return theta, history
""",
    ],
    "slips": [
        """
def advantages_and_targets(reward, value, gamma, weights):
    steps, raw = len(reward), []
    for t in range(steps):
        total = mass = 0.0
        for n in range(1, len(weights) + 1):
            if t + n > steps:
                break
            lookahead = sum(gamma**k * reward[t + k] for k in range(n)) + gamma**n * value[t + n]
            total += weights[n - 1] * (lookahead - value[t])
            mass += weights[n - 1]
        raw.append(total / mass)
    raw = np.array(raw)
    return (raw - np.mean(raw)) / np.std(raw), raw + value[:steps]
""",
        """
def advantages_and_targets(reward, value, gamma, weights):
    steps = len(reward)
    td_error = reward + gamma * value[1:] - value[:-1]
    total, mass, running = np.zeros(steps), np.zeros(steps), np.zeros(steps)
    for n, weight in enumerate(weights[:steps]):  # an n-step advantage is a discounted sum of n TD errors
        running[: steps - n] += gamma**n * td_error[n:]
        total[: steps - n] += weight * running[: steps - n]
        mass[: steps - n] += weight
    advantage = total / mass
    return (advantage - advantage.mean()) / (advantage.std() + 1e-12), advantage + value[:-1]
""",
    ],
    "diagnosis": [
        """
diagnosis = dict(
    A="old log-probabilities renewed at every step",
    B="critic's loss broadcasts (B,) and (B, 1)",
    C="bootstraps past the end",
    D="advantage sign",
    E="critic's targets from normalised advantages",
)
""",
        """
found = [3, 5, 1, 2, 4]
diagnosis = {
    name: [
        "healthy",
        "bootstraps past the end",
        "advantage sign",
        "old log-probabilities renewed at every step",
        "critic's targets from normalised advantages",
        "critic's loss broadcasts (B,) and (B, 1)",
    ][number]
    for name, number in zip("ABCDE", found)
}
""",
    ],
}

WRONG = {
    "value-loss": [
        ("np.maximum(free, held)", "np.minimum(free, held)", "the smaller of the two errors"),
        ("np.where(free >= held, value - target, 0.0)", "(value - target)", "no longer depends on the value"),
        ("old_value - clip, old_value + clip", "target - clip, target + clip", "those are the free errors"),
        (
            "np.clip(value, old_value - clip, old_value + clip)",
            "np.minimum(value, old_value + clip)",
            "from above only",
        ),
        ("old_value - clip, old_value + clip", "1 - clip, 1 + clip", "as if it were a ratio"),
        ("0.5 * np", "np", "½ is missing"),
        (".mean()", ".sum()", "the sum over the batch"),
        ("free >= held", "np.abs(value - old_value) <= clip", "every sample outside the range"),
        (" / len(value)", "", "a factor 1/B"),
        ("free >= held", "free <= held", "stopped for the other samples"),
        ("free >= held", "(np.abs(value - old_value) < clip) | (free > held)", "exactly at the edge is not clipped"),
        ("return loss, gradient", "return loss", "two results are wanted"),
        ("np.maximum(free, held)", "held", "the clipped errors alone"),
        ("old_value - clip, old_value + clip", "-clip, clip", "the range lies around 0"),
        (
            "np.clip(value, old_value - clip, old_value + clip)",
            "np.maximum(value, old_value - clip)",
            "from below only",
        ),
        ("value - target, 0.0)", "value - target, near - target)", "where the clipped error counts, the loss"),
        (
            "gradient = np.where(free >= held, value - target, 0.0) / len(value)",
            "gradient = 2 * np.where(free >= held, value - target, 0.0) / len(value)",
            "½ takes away the factor 2",
        ),
        (
            "gradient = np.where(free >= held, value - target, 0.0) / len(value)",
            "gradient = 0.5 * np.where(free >= held, value - target, 0.0) / len(value)",
            "a square brings a factor 2",
        ),
        ("free >= held", "free > held", "inside the range lost its gradient"),
        ("free >= held", "(free >= held) & (value < target)", "what overshot its target learns, too"),
        ("return loss, gradient", "return gradient, loss", "the results have changed places"),
    ],
    "off-policy": [
        ("lam * np.minimum(1.0, ratio)", "np.minimum(1.0, lam * ratio)", "λ stands outside"),
        ("np.minimum(limit, ratio)", "ratio", "the weight of a TD error has a limit"),
        ("np.minimum(1.0, ratio)", "np.minimum(limit, ratio)", "limited by 1, not by the weight's limit"),
        ("* ~terminated ", "", "bootstraps past the end"),
        ("ends = terminated | truncated", "ends = terminated", "across a truncation"),
        ("* ~terminated ", "* (~terminated | truncated) ", "both flags is treated as truncated"),
        ("ends = terminated | truncated", "ends = terminated ^ truncated", "both flags is treated as no end"),
        ("gamma * ~terminated", "gamma * ~(terminated | truncated)", "treated as terminated"),
        ("lam * ", "", "λ is missing"),
        ("gamma * trace[t]", "trace[t]", "γ is missing where a correction is carried"),
        ("value[t] + correction", "correction", "that is the correction"),
        ("weight[t] * delta[t]", "trace[t] * delta[t]", "is weighted with ρ"),
        ("gamma * trace[t]", "gamma * lam * np.prod(np.minimum(1.0, ratio))", "one product of all ratios"),
        ("lam * np.minimum(1.0, ratio)", "lam * ratio", "has a limit of its own"),
        ("next_value - value", "np.append(value[1:], next_value[-1]) - value", "row t + 1 of `value`"),
        (
            "reward + gamma * ~terminated * next_value",
            "~terminated * (reward + gamma * next_value)",
            "the mask took the reward away",
        ),
        ("gamma * ~terminated", "~terminated", "γ is missing in the TD error"),
        ("gamma * ", "", "γ is missing everywhere"),
        (
            "correction = weight[t] * delta[t] + gamma * trace[t] * ~ends[t] * correction\n        corrected[t] = value[t] + correction",
            "correction = weight[t] * delta[t] + gamma * trace[t] * ~ends[t] * (t + 1 < len(reward)) * corrected[(t + 1) % len(reward)]\n        corrected[t] = value[t] + correction",
            "V(s_{t+1}) is not subtracted",
        ),
        ("weight[t] * delta[t]", "delta[t]", "ρ is missing"),
        (
            "lam * np.minimum(1.0, ratio)",
            "lam * np.minimum(1.0, np.append(ratio[1:], 1.0))",
            "c has the ratio of the next step",
        ),
        ("lam * np.minimum(1.0, ratio)", "lam * np.ones(len(ratio))", "the ratio is missing in c"),
        ("np.minimum(limit, ratio)", "np.minimum(1.0, ratio)", "ρ is limited by 1"),
        (
            "np.minimum(limit, ratio), lam * np.minimum(1.0, ratio)",
            "np.minimum(1.0, ratio), lam * np.minimum(limit, ratio)",
            "the two limits have changed places",
        ),
        ("np.minimum(limit, ratio)", "np.maximum(limit, ratio)", "the larger of limit and ratio"),
        ("np.minimum(limit, ratio)", "lam * np.minimum(limit, ratio)", "λ belongs to c alone"),
        ("ends = terminated | truncated", "ends = truncated", "across a termination"),
        ("ends = terminated | truncated", "ends = terminated & False", "across every end"),
        (
            "correction = weight[t] * delta[t] + gamma * trace[t] * ~ends[t] * correction\n        corrected[t] = value[t] + correction",
            "correction = weight[t] * delta[t] + weight[t] * gamma * trace[t] * ~ends[t] * correction\n        corrected[t] = value[t] + correction",
            "ρ weights the TD error alone",
        ),
        ("reversed(range(len(reward)))", "range(len(reward))", "from the first step to the last"),
        (
            "next_value - value",
            "next_value * (np.arange(len(value)) < len(value) - 1) - value",
            "the last step of the rollout got no next value",
        ),
        ("~ends[t] * correction", "~ends[(t + 1) % len(ends)] * correction", "the flags of the wrong step"),
    ],
    "early-stopping": [
        ("kls[-1] > 1.5", "kls[-1] >= 1.5", "that equals the limit is not above it"),
        ("kls[-1] > 1.5 * target_kl", "len(kls) > 1 and kls[-2] > 1.5 * target_kl", "one step late"),
        ("ratio > 1 - clip)", "True)", "A < 0 are never clipped"),
        ("ratio > 1 - clip)", "ratio < 1 + clip)", "where A < 0 the clip acts"),
        ("np.exp(old) * (old - new)", "np.exp(new) * (new - old)", "that is KL(π‖π_old)"),
        ("1.5 * target_kl", "target_kl", "the list ends one epoch early"),
        (
            "np.where(advantage > 0, ratio < 1 + clip, ratio > 1 - clip)",
            "np.abs(ratio - 1) < clip",
            "outside the range every sample lost its gradient",
        ),
        ("active * ratio", "ratio", "nothing is clipped"),
        ("active * ratio * advantage", "active * advantage", "the ratio is missing"),
        ("np.exp(new - old)[action]", "np.ones(len(action))", "every ratio is 1"),
        (" / len(action)", "", "the sum over the batch"),
        ("logits += lr", "logits -= lr", "it walks downhill"),
        (" - np.exp(new)\n", "\n", "the one-hot action minus the probabilities"),
        ("        new = log_softmax(logits)\n        kls", "        kls", "before the step, not after it"),
        ("return logits, kls", "return kls", "two results are wanted"),
        ("return logits, kls", "return kls, logits", "have changed places"),
        ("kls[-1] > 1.5 * target_kl", "False", "it never stops"),
        (
            "active = np.where(advantage > 0, ratio < 1 + clip, ratio > 1 - clip)",
            "active = np.where(advantage < 0, ratio < 1 + clip, ratio > 1 - clip)",
            "the signs of the advantages are exchanged",
        ),
        (
            "active = np.where(advantage > 0, ratio < 1 + clip, ratio > 1 - clip)",
            "ratio = np.clip(ratio, 1 - clip, 1 + clip)\n        active = 1.0",
            "where the clip is active the gradient is 0",
        ),
        ("/ len(action)", "/ active.sum()", "the samples without a gradient count, too"),
        (
            "score = np.eye(len(logits))[action] - np.exp(new)",
            "score = np.eye(len(logits))[action] * (1 - np.exp(new))",
            "the other actions' logits",
        ),
        ("[action] - np.exp(new)", "[action] - np.exp(old)", "the probabilities are those of now"),
        (
            "        new = log_softmax(logits)\n        ratio",
            "        new = old = log_softmax(logits)\n        ratio",
            "the old policy was renewed",
        ),
        ("(np.exp(old) * (old - new)).sum()", "(old - new)[action].mean()", "sampled from the batch"),
        ("(np.exp(old) * (old - new)).sum()", "(np.exp(old) * (new - old)).sum()", "the sign of the divergence"),
        (
            "(np.exp(old) * (old - new)).sum()",
            "(np.exp(old) * (old - new)).mean()",
            "the sum over the actions, not their mean",
        ),
        ("np.exp(new - old)[action]", "(new - old)[action]", "a difference of logarithms is not yet"),
        ("np.exp(new - old)[action]", "np.exp(old - new)[action]", "the ratio is upside down"),
        ("return logits, kls", "return np.exp(log_softmax(logits)), kls", "those are probabilities"),
        (
            "        logits += lr * (active * ratio * advantage) @ score / len(action)\n        new = log_softmax(logits)\n        kls.append((np.exp(old) * (old - new)).sum())\n        if kls[-1] > 1.5 * target_kl:\n",
            "        before = logits.copy()\n        logits += lr * (active * ratio * advantage) @ score / len(action)\n        new = log_softmax(logits)\n        kls.append((np.exp(old) * (old - new)).sum())\n        if kls[-1] > 1.5 * target_kl:\n            logits = before\n",
            "the last step was taken back",
        ),
    ],
    "slips": [
        ("advantage.std()", "advantage.std(ddof=1)", "divides by T − 1"),
        (
            "gamma**n * value[t + n]",
            "gamma**n * (value[t + n] + np.append(reward, 0.0)[t + n])",
            "it sums n + 1 rewards",
        ),
        ("gamma ** (n - 1) * reward", "reward", "the rewards are not discounted"),
        (
            "target = advantage + value",
            "target = (advantage - advantage.mean()) / advantage.std() + value",
            "made from the normalised advantage",
        ),
        (" / weights[n - 1].sum()", "", "no longer sum to 1"),
        ("gamma**n * value", "gamma * value", "by γ, whatever n is"),
        (" - value[t]\n", "\n", "those are returns"),
        (" - advantage.mean()", "", "the mean is not subtracted"),
        ("/ advantage.std()", "/ advantage.var()", "by the variance"),
        (
            "paid = np.cumsum(gamma ** (n - 1) * reward[t + n - 1])\n        estimate = paid + gamma**n * value[t + n] - value[t]\n        advantage[t] = weights[n - 1] @ estimate / weights[n - 1].sum()\n    target = advantage + value[:-1]",
            "paid = np.cumsum(reward[t + n - 1])\n        estimate = paid + np.append(reward, 0.0)[t + n] + gamma**n * value[t + n] - value[t]\n        advantage[t] = weights[n - 1] @ estimate / weights[n - 1].sum()\n    target = (advantage - advantage.mean()) / advantage.std() + value[:-1]",
            "none of the three slips is mended",
        ),
        (
            "paid = np.cumsum(gamma ** (n - 1) * reward[t + n - 1])\n        estimate = paid + gamma**n * value[t + n] - value[t]\n        advantage[t] = weights[n - 1] @ estimate / weights[n - 1].sum()\n    target = advantage + value[:-1]",
            "paid = np.cumsum(reward[t + n - 1])\n        estimate = paid + np.append(reward, 0.0)[t + n] + gamma**n * value[t + n] - value[t]\n        advantage[t] = weights[n - 1] @ estimate / weights[n - 1].sum()\n    target = advantage + value[:-1]",
            "the two slips of line 1 are left",
        ),
        (
            "paid = np.cumsum(gamma ** (n - 1) * reward[t + n - 1])\n        estimate = paid + gamma**n * value[t + n] - value[t]\n        advantage[t] = weights[n - 1] @ estimate / weights[n - 1].sum()\n    target = advantage + value[:-1]",
            "paid = np.cumsum(gamma ** (n - 1) * reward[t + n - 1])\n        estimate = paid + gamma**n * np.append(reward, 0.0)[t + n] + gamma**n * value[t + n] - value[t]\n        advantage[t] = weights[n - 1] @ estimate / weights[n - 1].sum()\n    target = (advantage - advantage.mean()) / advantage.std() + value[:-1]",
            "two slips are left: the number of rewards in line 1, and line 4",
        ),
        (
            "paid = np.cumsum(gamma ** (n - 1) * reward[t + n - 1])\n        estimate = paid + gamma**n * value[t + n] - value[t]\n        advantage[t] = weights[n - 1] @ estimate / weights[n - 1].sum()\n    target = advantage + value[:-1]",
            "paid = np.cumsum(reward[t + n - 1])\n        estimate = paid + gamma**n * value[t + n] - value[t]\n        advantage[t] = weights[n - 1] @ estimate / weights[n - 1].sum()\n    target = (advantage - advantage.mean()) / advantage.std() + value[:-1]",
            "two slips are left: the discount in line 1, and line 4",
        ),
        ("weights[n - 1].sum()", "len(n)", "by the number of the weights"),
        (
            "return (advantage - advantage.mean()) / advantage.std(), target",
            "return advantage, target",
            "the advantages are not normalised",
        ),
        ("advantage + value[:-1]", "advantage + value[1:]", "V of the next state was added"),
        ("advantage + value[:-1]", "advantage", "V(s) is missing in the target"),
        (
            "return (advantage - advantage.mean()) / advantage.std(), target",
            "return target, (advantage - advantage.mean()) / advantage.std()",
            "the advantages come first",
        ),
        ("gamma ** (n - 1)", "gamma**n", "the first reward is discounted already"),
        ("gamma**n * value", "gamma ** (n + 1) * value", "n + 1 times"),
        (
            "min(len(weights), len(reward) - t) + 1)",
            "max(1, min(len(weights), len(reward) - t - 1)) + 1)",
            "the longest look ahead",
        ),
    ],
    "diagnosis": [
        (
            'diagnosis["A"] = "old log-probabilities renewed at every step"',
            'diagnosis["A"] = "learning rate too large"',
            "",
        ),
        (
            'diagnosis["B"] = "critic\'s loss broadcasts (B,) and (B, 1)"',
            'diagnosis["B"] = "critic\'s targets from normalised advantages"',
            "",
        ),
        ('diagnosis["C"] = "bootstraps past the end"', 'diagnosis["C"] = "healthy"', ""),
        ('diagnosis["D"] = "advantage sign"', 'diagnosis["D"] = "learning rate too large"', ""),
        (
            'diagnosis["E"] = "critic\'s targets from normalised advantages"',
            'diagnosis["E"] = "critic\'s loss broadcasts (B,) and (B, 1)"',
            "",
        ),
    ],
}

# Small changes that no hidden check can tell from the solution, and why.
EQUIVALENT = {
    "value-loss": {
        "near = np.clip(old_value - clip, value, old_value + clip)": "NumPy takes the middle one of three",
        "near = np.clip(target, old_value - clip, old_value + clip)": "the larger error is the same whichever of the two is held near the old value",
    },
    "off-policy": {
        "ends = terminated | truncated | truncated": "the same set",
        "ends = terminated | (truncated | terminated)": "the same set",
        "corrected, correction = (np.ones(len(reward)), 0.0)": "it is overwritten",
    },
    "early-stopping": {
        "return logits - x.max() - np.log(np.exp(x - x.max()).sum())": "a softmax does not change when one number is added to all logits",
        "return x - logits.max() - np.log(np.exp(x - x.max()).sum())": "a softmax does not change when one number is added to all logits",
        "return x - x.max() - np.log(np.exp(logits - x.max()).sum())": "a softmax does not change when one number is added to all logits",
        "return x - x.max() - np.log(np.exp(x - logits.max()).sum())": "a softmax does not change when one number is added to all logits",
        "logits, old, kls = (logits, log_softmax(logits), [])": "the visible check names a changed argument",
        "active = np.where(advantage >= 0, ratio < 1 + clip, ratio > 1 - clip)": "no advantage, no gradient",
        "active = np.where(advantage > 0, ratio <= 1 + clip, ratio > 1 - clip)": "exactly at the kink either slope is right",
        "active = np.where(advantage > 0, ratio < 1 + clip, ratio >= 1 - clip)": "exactly at the kink either slope is right",
        "logits += lr * (active * ratio * active * advantage) @ score / len(action)": "it is 0 or 1",
    },
    "slips": {
        "advantage = np.ones(len(reward))": "it is overwritten",
        "advantage[t] = estimate @ weights[n - 1] / weights[n - 1].sum()": "an inner product is symmetric",
    },
}
