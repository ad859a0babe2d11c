"""Homework 4: answers that must get full points, and mistakes that must be named. Not for students.

`RIGHT` holds other ways to write each answer; `WRONG` changes the official one: (old, new, part of the visible
check's message). The tests of the grader run them all.

Nearest in `rlcourse`, and why it does not answer:

| question | nearest | what is missing |
|---|---|---|
| lstd | `q_iteration.evaluate_policy` | needs the model, and a value for each state |
| retrace | `returns.gae` | no ratios; its trace has the same weight at every step |
| traces | `returns.gae` | λ-returns from fixed values, not online ones |
| slips | `returns.n_step_targets` | one γ for all steps; no gradient |
"""

RIGHT = {
    "lstd": [
        """
def lstd(features, next_features, reward, terminated, gamma):
    a, b = np.zeros((features.shape[1],) * 2), np.zeros(features.shape[1])
    for x, x_next, r, over in zip(features, next_features, reward, terminated):
        a += np.outer(x, x if over else x - gamma * x_next)
        b += r * x
    print("a print that somebody forgot")
    return np.linalg.inv(a) @ b
""",
        """
def lstd(features, next_features, reward, terminated, gamma):
    def total(weight):  # of TD's steps
        value, following = features @ weight, np.where(terminated, 0.0, next_features @ weight)
        return (features * (reward + gamma * following - value)[:, None]).sum(0)

    size = features.shape[1]
    rest = total(np.zeros(size))  # affine in the weights
    slope = np.stack([total(unit) - rest for unit in np.eye(size)], axis=1)
    return np.linalg.solve(slope, -rest)
""",
    ],
    "retrace": [
        """
def retrace_targets(reward, q, next_value, terminated, truncated, ratio, gamma, lam):
    targets = []
    for t in range(len(reward)):
        total, weight = q[t], 1.0
        for k in range(t, len(reward)):
            if k > t:
                weight *= gamma * lam * min(1.0, ratio[k])
            total += weight * (reward[k] + (0.0 if terminated[k] else gamma * next_value[k]) - q[k])
            if terminated[k] or truncated[k]:
                break
        targets.append(total)
    return targets
""",
        """
def retrace_targets(reward, q, next_value, terminated, truncated, ratio, gamma, lam):
    one_step = reward + np.where(terminated, 0.0, gamma * next_value)
    targets = np.array(one_step)
    for t in range(len(reward) - 2, -1, -1):
        if not (terminated[t] or truncated[t]):
            targets[t] += gamma * lam * np.clip(ratio[t + 1], 0, 1) * (targets[t + 1] - q[t + 1])
    return targets
""",
    ],
    "traces": [
        """
def td_lambda(episodes, num_states, lr, gamma, lam):
    values = np.zeros(num_states)
    for episode in episodes:
        visited = []
        for s, reward, next_s, terminated in episode:
            target = reward if terminated else reward + gamma * values[next_s]
            error = target - values[s]
            visited.append(s)
            for age, past in enumerate(reversed(visited)):
                values[past] += lr * error * (gamma * lam) ** age
    return values
""",
        """
def td_lambda(episodes, num_states, lr, gamma, lam):
    values = [0.0] * num_states
    for episode in episodes:
        trace = {}
        for s, reward, next_s, terminated in episode:
            delta = reward - values[s] + (0 if terminated else gamma * values[next_s])
            trace = {state: gamma * lam * strength for state, strength in trace.items()}
            trace[s] = trace.get(s, 0.0) + 1.0
            for state, strength in trace.items():
                values[state] += lr * delta * strength
    return np.array(values)
""",
    ],
    "slips": [
        """
def critic_gradient(weight, features, reward, alive, n):
    gradient, count = np.zeros(len(weight)), 0
    for t in range(len(reward) - n + 1):
        target = features[t + n] @ weight
        for k in reversed(range(n)):
            target = reward[t + k] + alive[t + k] * target
        gradient += (features[t] @ weight - target) * features[t]
        count += 1
    return gradient / count
""",
        """
def critic_gradient(weight, features, reward, alive, n):
    errors = []
    for t in range(len(reward) - n + 1):
        survived = np.concatenate([[1.0], np.cumprod(alive[t : t + n])])
        look_ahead = np.append(reward[t : t + n], features[t + n] @ weight)
        errors.append(survived @ look_ahead - features[t] @ weight)
    return np.mean([-e * x for e, x in zip(errors, features)], axis=0)
""",
    ],
    "diagnosis": [
        """
diagnosis = dict(
    A="bootstraps past the end",
    B="critic never updated",
    C="truncation treated as termination",
    D="advantage sign",
    E="actor's learning rate too large",
)
""",
        """
causes = [
    "bootstraps past the end",
    "critic never updated",
    "truncation treated as termination",
    "advantage sign",
    "actor's learning rate too large",
]
diagnosis = {name: cause for name, cause in zip("ABCDE", causes)}
""",
    ],
}

WRONG = {
    "lstd": [
        (
            "    follows =",
            "    features, next_features, reward = features[~terminated], next_features[~terminated], reward[~terminated]\n    terminated = terminated[~terminated]\n    follows =",
            "terminated steps are dropped",
        ),
        (" * ~terminated[:, None]", "", "bootstraps past the end"),
        ("* ~terminated[:, None]", "* terminated[:, None]", "the wrong way round"),
        ("gamma * next_features", "1.0 * next_features", "γ is missing"),
        ("(features - follows)", "features", "the rewards alone"),
        ("(features - follows)", "(features + follows)", "the sign of what follows"),
        ("features.T @ (features - follows)", "(features - follows).T @ features", "it is transposed"),
        (
            "np.linalg.solve(matrix, features.T @ reward)",
            "np.linalg.lstsq(features - follows, reward, rcond=None)[0]",
            "the smallest squared TD error",
        ),
        (
            "features.T @ (features - follows)",
            "features.T @ (features - follows) / len(reward)",
            "A alone is divided by T",
        ),
        ("features.T @ reward)", "features.T @ (reward * ~terminated))", "the mask took the reward away"),
        ("(features - follows)", "((features - follows) * ~terminated[:, None])", "the mask took φ(s) away"),
        ("features.T @ reward)", "features.T @ reward / len(reward))", "b alone is divided by T"),
        (
            "features.T @ (features - follows)",
            "gamma * features.T @ (features - follows / gamma)",
            "it belongs to φ(s′) alone",
        ),
        (
            " * ~terminated[:, None]\n    matrix = features.T @ (features - follows)",
            "\n    matrix = (features - follows).T @ features",
            "it is transposed, and it bootstraps",
        ),
        (
            "matrix = features.T @ (features - follows)\n    return np.linalg.solve(matrix, features.T @ reward)",
            "matrix = next_features.T @ (features - follows)\n    return np.linalg.solve(matrix, next_features.T @ reward)",
            "φ(s′) stands on the left",
        ),
    ],
    "retrace": [
        ("lam * np.minimum(1.0, ratio)", "np.minimum(1.0, lam * ratio)", "λ stands outside"),
        ("trace[t + 1]", "trace[t]", "the weight of the wrong step"),
        ("np.minimum(1.0, ratio)", "ratio", "the ratio is not limited"),
        ("lam * ", "", "λ is missing"),
        ("gamma * ~ends", "~ends", "γ is missing where a correction is carried"),
        ("* ~terminated ", "", "bootstraps past the end"),
        ("gamma * ~terminated", "gamma * ~(terminated | truncated)", "treated as terminated"),
        ("ends = terminated | truncated", "ends = terminated", "across a truncation"),
        ("* ~terminated ", "* (~terminated | truncated) ", "both flags is treated as truncated"),
        ("ends = terminated | truncated", "ends = terminated ^ truncated", "both flags is treated as no end"),
        ("return q + correction", "return correction", "that is the correction"),
        ("    ends =", "    correction *= trace\n    ends =", "the first TD error got a weight"),
        (
            "correction = reward + gamma * ~terminated * next_value - q",
            "correction = ~terminated * (reward + gamma * next_value) - q",
            "the mask took the reward away",
        ),
        (
            "correction = reward + gamma * ~terminated * next_value - q",
            "correction = reward + ~terminated * next_value - q",
            "γ is missing in the TD error",
        ),
        ("gamma * ", "", "γ is missing everywhere"),
        (
            "correction[t] += gamma * ~ends[t] * trace[t + 1] * correction[t + 1]",
            "correction[t] += gamma * ~ends[t] * trace[t + 1] * (q[t + 1] + correction[t + 1])",
            "Q(s_{t+1}, a_{t+1}) is not subtracted",
        ),
        (
            "correction[t] += gamma * ~ends[t] * trace[t + 1] * correction[t + 1]",
            "correction[t] += gamma * ~ends[t] * trace[t + 1] * (q[t + 1] + correction[t + 1] - next_value[t])",
            "the next value was subtracted",
        ),
        ("np.minimum(1.0", "np.maximum(1.0", "the larger of 1 and the ratio"),
        ("lam * np.minimum(1.0, ratio)", "lam * np.ones(len(ratio))", "the ratio is missing"),
        ("ends = terminated | truncated", "ends = truncated", "across a termination"),
        ("ends = terminated | truncated", "ends = terminated & False", "across every end"),
        (" * next_value - q", " * np.append(q[1:], next_value[-1]) - q", "row t + 1 of `q`"),
        (
            "next_value - q",
            "next_value * (np.arange(len(q)) < len(q) - 1) - q",
            "the last step of the rollout got no next value",
        ),
        ("for t in reversed(range(len(reward) - 1)):", "for t in range(len(reward) - 1):", "goes back one step only"),
        ("next_value - q", "next_value", "Q(s_t, a_t) is not subtracted"),
        (
            "correction[t] += gamma * ~ends[t] * trace[t + 1] * correction[t + 1]",
            "correction[t] += gamma * ~ends[t] * trace[t + 1] * -q[t + 1]",
            "is not known yet",
        ),
        (
            "correction[t] += gamma * ~ends[t] * trace[t + 1] * correction[t + 1]\n    return q + correction",
            "correction[t] += gamma * ~ends[t] * trace[t + 1] * (correction[t + 1] - q[t + 1])\n    return correction",
            "Q(s_t, a_t) is missing in G_t",
        ),
        ("~ends[t]", "~ends[t + 1]", "the flags of the wrong step"),
    ],
    "traces": [
        (
            "    for episode in episodes:\n        trace = np.zeros(num_states)\n",
            "    trace = np.zeros(num_states)\n    for episode in episodes:\n",
            "goes on into the next episode: begin each",
        ),
        ("trace[s] += 1", "trace[s] = 1", "a replacing trace"),
        ("gamma * lam\n", "lam\n", "γ is missing there"),
        ("gamma * lam\n", "gamma\n", "λ is missing"),
        ("gamma * (1 - terminated) * ", "gamma * ", "bootstraps past the end"),
        (
            "            trace *= gamma * lam\n            trace[s] += 1\n",
            "            trace[s] += 1\n            trace *= gamma * lam\n",
            "decays before it is used",
        ),
        ("estimates += lr * td_error * trace", "estimates[s] += lr * td_error", "only the present state is updated"),
        ("gamma * (1", "(1", "γ is missing in the TD error"),
        (
            "for s, reward, next_s, terminated in episode:\n",
            "for k, (s, reward, next_s, terminated) in enumerate(episode):\n            terminated = k == len(episode) - 1\n",
            "taken for the end",
        ),
        (
            "            trace[s] += 1\n            estimates += lr * td_error * trace",
            "            estimates += lr * td_error * trace\n            trace[s] += 1",
            "the present state's trace grows after the values have changed",
        ),
        (
            "            trace *= gamma * lam\n            trace[s] += 1\n            estimates += lr * td_error * trace",
            "            estimates += lr * td_error * trace\n            trace *= gamma * lam\n            trace[s] += 1",
            "the values change before the traces",
        ),
        ("            trace *= gamma * lam\n", "", "the traces never decay"),
        ("trace *= gamma * lam", "trace *= gamma * (1 - lam)", "1 − λ"),
        ("trace *= gamma * lam", "trace[s] *= gamma * lam", "only the present state's trace decays"),
        (
            "estimates += lr * td_error * trace",
            "estimates[s] += lr * td_error * trace[s]",
            "only the present state's value changes, although",
        ),
        ("lr * td_error", "td_error", "the step size is missing"),
        ("estimates += lr", "estimates -= lr", "the sign of the correction"),
        (
            "reward + gamma * (1 - terminated) * estimates[next_s]",
            "(1 - terminated) * (reward + gamma * estimates[next_s])",
            "the mask took the reward away",
        ),
        (
            "            td_error = reward + gamma * (1 - terminated) * estimates[next_s] - estimates[s]\n            trace *= gamma * lam\n            trace[s] += 1\n            estimates += lr * td_error * trace",
            "            td_error = (1 - terminated) * reward + gamma * (1 - terminated) * estimates[next_s] - (1 - terminated) * estimates[s]\n            trace *= gamma * lam\n            trace[s] += 1\n            estimates += lr * td_error * trace",
            "the mask took the whole TD error",
        ),
        (
            "    estimates = np.zeros(num_states)\n    for episode in episodes:\n",
            "    for episode in episodes:\n        estimates = np.zeros(num_states)\n",
            "the values begin anew",
        ),
        ("    return estimates", "        return estimates", "after the first episode"),
        (
            "    for episode in episodes:\n        trace = np.zeros(num_states)\n        for s, reward, next_s, terminated in episode:\n            td_error = reward + gamma * (1 - terminated) * estimates[next_s] - estimates[s]\n            trace *= gamma * lam\n            trace[s] += 1\n            estimates += lr * td_error * trace",
            "    trace = np.zeros(num_states)\n    for episode in episodes:\n        for s, reward, next_s, terminated in episode:\n            td_error = reward + gamma * (1 - terminated) * estimates[next_s] - estimates[s]\n            trace *= gamma * lam\n            trace[s] += 1\n            estimates += lr * td_error * trace\n            trace *= 1 - terminated",
            "goes on after an episode that was cut off",
        ),
        (
            "        trace = np.zeros(num_states)\n        for s, reward, next_s, terminated in episode:\n            td_error = reward + gamma * (1 - terminated) * estimates[next_s] - estimates[s]\n            trace *= gamma * lam\n            trace[s] += 1\n            estimates += lr * td_error * trace",
            "        trace, before = np.zeros(num_states), estimates.copy()\n        for s, reward, next_s, terminated in episode:\n            td_error = reward + gamma * (1 - terminated) * before[next_s] - before[s]\n            trace *= gamma * lam\n            trace[s] += 1\n            estimates += lr * td_error * trace",
            "the values change only after the episode",
        ),
    ],
    "slips": [
        ("/ count", "/ len(reward)", "by all T steps"),
        ("target += chance * reward", "target += reward", "the rewards count in full"),
        (
            "return -(target - value[:count]) @ features[:count] / count",
            "return -(target - value[:count]) @ (features[:count] - chance[:, None] * features[n:]) / count",
            "it differentiates the target too",
        ),
        ("return -(", "return (", "the sign is wrong"),
        (
            "        target += chance * reward[k : k + count]\n        chance *= alive[k : k + count]\n",
            "        chance *= alive[k : k + count]\n        target += chance * reward[k : k + count]\n",
            "one factor too many",
        ),
        ("target += chance * value[n:]", "target += value[n:]", "the chance to get there"),
        ("chance *= alive[k : k + count]", "chance *= alive[:count]", "a product of different ones"),
        (" / count", "", "the sum over the steps"),
        (
            "        target += chance * reward[k : k + count]\n        chance *= alive[k : k + count]\n    target += chance * value[n:]\n    return -(target - value[:count]) @ features[:count] / count",
            "        target += reward[k : k + count]\n        chance *= alive[k : k + count]\n    target += chance * value[n:]\n    return (target - value[:count]) @ (features[:count] - chance[:, None] * features[n:]) / count",
            "none of the three slips is mended",
        ),
        (
            "        target += chance * reward[k : k + count]\n        chance *= alive[k : k + count]\n    target += chance * value[n:]\n    return -(target - value[:count]) @ features[:count] / count",
            "        target += reward[k : k + count]\n        chance *= alive[k : k + count]\n    target += chance * value[n:]\n    return -(target - value[:count]) @ (features[:count] - chance[:, None] * features[n:]) / count",
            "two slips are left: in line 2, and one in line 4, its second factor",
        ),
        (
            "        target += chance * reward[k : k + count]\n        chance *= alive[k : k + count]\n    target += chance * value[n:]\n    return -(target - value[:count]) @ features[:count] / count",
            "        target += reward[k : k + count]\n        chance *= alive[k : k + count]\n    target += chance * value[n:]\n    return (target - value[:count]) @ features[:count] / count",
            "two slips are left: in line 2, and one in line 4, its first factor",
        ),
        (
            "        target += chance * reward[k : k + count]\n        chance *= alive[k : k + count]\n    target += chance * value[n:]\n    return -(target - value[:count]) @ features[:count] / count",
            "        target += chance * reward[k : k + count]\n        chance *= alive[k : k + count]\n    target += chance * value[n:]\n    return (target - value[:count]) @ (features[:count] - chance[:, None] * features[n:]) / count",
            "the two slips of line 4 are left",
        ),
        ("alive[k : k + count]", "alive[k]", "the chances of the first steps"),
        ("chance *= alive[k : k + count]", "chance = alive[k : k + count]", "the chance of one step alone"),
        (
            "    count = len(reward) - n + 1\n",
            "    count = len(reward) - n\n    features = features[:-1]\n",
            "the last step that has a target",
        ),
        ("chance * value[n:]", "chance * value[n - 1 : n - 1 + count]", "the value of one step too early"),
        ("    target += chance * value[n:]\n", "", "the value behind the last reward is missing"),
        ("(target - value[:count])", "target", "V(s) is not subtracted"),
        ("return -(", "return -2 * (", "½ of the loss"),
    ],
    "diagnosis": [
        ('diagnosis["A"] = "bootstraps past the end"', 'diagnosis["A"] = "discount missing"', ""),
        ('diagnosis["B"] = "critic never updated"', 'diagnosis["B"] = "advantage sign"', ""),
        ('diagnosis["C"] = "truncation treated as termination"', 'diagnosis["C"] = "critic never updated"', ""),
        ('diagnosis["D"] = "advantage sign"', 'diagnosis["D"] = "actor\'s learning rate too large"', ""),
        ('diagnosis["E"] = "actor\'s learning rate too large"', 'diagnosis["E"] = "healthy"', ""),
    ],
}

# Small changes that no hidden check can tell from the solution, and why.
EQUIVALENT = {
    "retrace": {
        "ends = terminated | truncated | truncated": "the same set",
        "ends = terminated | (truncated | terminated)": "the same set",
    },
}
