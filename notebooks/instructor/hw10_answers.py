"""Homework 10: answers that must get full points, and mistakes that must be named. Not for students.

`RIGHT` holds other ways to write each answer; `WRONG` changes the official one: (old, new, part of the visible
check's message). The tests of the grader run them all.

| question | nearest in `rlcourse` | why calling it fails |
|---|---|---|
| shortcut | `diffusion.denoised`, `Diffusion.path` | the mean of a step that adds fresh noise; visits every step |
| translation | `diffusion.noised` | the way there, not back; knows no velocity, no loss |
| conservative | `cql.conservative_loss`, `.bellman_target` | samples actions of a box, for autograd; no maximum, no table |
| expectile | `iql.expectile_loss` | the loss to minimise, of differences given; nothing is averaged first |
"""

RIGHT = {
    "shortcut": [
        """
def shortcut(x, guess, kept, visited):
    places = np.zeros((len(visited) + 1, *x.shape))
    places[0] = x
    for k in range(len(visited)):
        share = kept[visited[k]]
        goal = kept[visited[k + 1]] if k + 1 < len(visited) else 1.0
        clean = np.minimum(np.maximum(guess(places[k], share * np.ones(x.shape[0])), -1.0), 1.0)
        shrink = np.sqrt((1 - goal) / (1 - share))  # of the noise
        places[k + 1] = shrink * places[k] + (goal**0.5 - shrink * share**0.5) * clean
    return places
""",
        """
import math


def shortcut(x, guess, kept, visited):
    def from_here(x, steps):
        if not len(steps):
            return [x]
        now, later = kept[steps[0]], kept[steps[1] if len(steps) > 1 else 0]
        a = guess(x, np.array([now] * len(x))).clip(-1, 1)
        e = (x - math.sqrt(now) * a) / math.sqrt(1 - now)
        return [x, *from_here(math.sqrt(later) * a + math.sqrt(1 - later) * e, steps[1:])]

    return np.stack(from_here(x, visited))
""",
        """
def shortcut(x, guess, kept, visited):
    print("a print that somebody forgot")
    signal, noise_size = np.sqrt(kept), np.sqrt(1 - np.asarray(kept))
    x, result = x.copy(), []
    for n, t in enumerate(visited):
        result.append(x.copy())
        a = np.clip(guess(x, np.repeat(kept[t], x.shape[0])), -1, 1)
        following = 0 if n == len(visited) - 1 else visited[n + 1]
        x -= signal[t] * a
        x *= noise_size[following] / noise_size[t]
        x += signal[following] * a
    return [*result, x]
""",
    ],
    "translation": [
        """
def to_action(output, kind, x, share):
    meant = []
    for said, seen, s in zip(output, x, share):
        if kind == "noise":
            meant.append((seen - (1 - s) ** 0.5 * said) / s**0.5)
        elif kind == "velocity":
            meant.append(s**0.5 * seen - (1 - s) ** 0.5 * said)
        else:
            meant.append(said)
    return np.array(meant)


def training_loss(guess, action, kind, share):
    ratio = share / (1 - share)  # of signal and noise
    weight = {"action": 1 + 0 * ratio, "noise": ratio, "velocity": ratio + 1}[kind]
    return np.dot(weight, np.square(guess - action).sum(1)) / len(action)
""",
        """
def to_action(output, kind, x, share):
    angle = np.arccos(np.sqrt(share))[:, None]
    if kind == "action":
        return output
    if kind == "noise":
        return x / np.cos(angle) - np.tan(angle) * output
    return np.cos(angle) * x - np.sin(angle) * output


def training_loss(guess, action, kind, share):
    # With x = 0, what a network says is in proportion to the action that it means.
    size = {"action": np.ones(len(share)), "noise": np.sqrt(share / (1 - share)), "velocity": 1 / np.sqrt(1 - share)}
    said, wanted = guess.T * size[kind], action.T * size[kind]
    return ((said - wanted) ** 2).sum(axis=0).mean()
""",
        """
def to_action(output, kind, x, share):
    s = share.reshape(-1, 1)
    noise = output if kind == "noise" else np.sqrt(1 - s) * x + np.sqrt(s) * output
    return output * 1.0 if kind == "action" else (x - np.sqrt(1 - s) * noise) / np.sqrt(s)


def training_loss(guess, action, kind, share):
    total = 0.0
    for g, a, s in zip(guess, action, share):
        factor = 1.0
        if kind != "action":
            factor = (s if kind == "noise" else 1.0) / (1 - s)
        total += factor * sum((one - other) ** 2 for one, other in zip(g, a))
    return total / len(share)
""",
    ],
    "conservative": [
        """
def conservative_gradient(q, state, action, reward, next_state, terminated, alpha, gamma):
    gradient = np.zeros(q.shape)
    for s, a, r, following, over in zip(state, action, reward, next_state, terminated):
        y = r if over else r + gamma * max(q[following])
        gradient[s] += alpha * np.exp(q[s]) / np.exp(q[s]).sum()
        gradient[s, a] += q[s, a] - y - alpha
    return gradient / len(state)
""",
        """
def conservative_gradient(q, state, action, reward, next_state, terminated, alpha, gamma):
    one_hot = np.zeros((len(state), *q.shape))
    one_hot[np.arange(len(state)), state, action] = 1
    visits = one_hot.mean(0)  # how often each pair is in the batch
    softmax = np.exp(q - np.log(np.exp(q).sum(1))[:, None])
    y = np.where(terminated, reward, reward + gamma * np.max(q, axis=1)[next_state])
    push = alpha * (visits.sum(1)[:, None] * softmax - visits)
    return push + visits * q - (one_hot * y[:, None, None]).mean(0)
""",
        """
def conservative_gradient(q, state, action, reward, next_state, terminated, alpha, gamma):
    y = reward + gamma * (1 - terminated.astype(float)) * np.amax(q[next_state], axis=1)

    def loss(table):
        largest = table[state].max(1)
        soft = largest + np.log(np.exp(table[state] - largest[:, None]).sum(1))
        own = table[state, action]
        return np.mean(alpha * (soft - own) + (own - y) ** 2 / 2)

    gradient = np.zeros(q.shape)
    for place in np.ndindex(*q.shape):
        step = np.zeros(q.shape)
        step[place] = 1e-4
        near, far = loss(q + step) - loss(q - step), loss(q + 2 * step) - loss(q - 2 * step)
        gradient[place] = (8 * near - far) / 12e-4
    return gradient
""",
    ],
    "expectile": [
        """
def implicit_value(action, target, tau):
    total, count = {}, {}
    for a, y in zip(action, target):
        total[a], count[a] = total.get(a, 0.0) + y, count.get(a, 0) + 1
    q = [total[a] / count[a] for a in total]
    low, high = min(q), max(q)
    for _ in range(100):  # bisection: the derivative falls
        v = (low + high) / 2
        above = sum(count[a] * max(x - v, 0.0) for a, x in zip(total, q))
        below = sum(count[a] * max(v - x, 0.0) for a, x in zip(total, q))
        low, high = (v, high) if tau * above > (1 - tau) * below else (low, v)
    return v
""",
        """
def implicit_value(action, target, tau):
    _, place, number = np.unique(action, return_inverse=True, return_counts=True)
    q = np.sort((np.bincount(place, weights=target) / number)[place])
    below = np.cumsum(q)
    for k in range(1, len(q) + 1):  # as if the k smallest lay below V
        upper = len(q) - k
        v = ((1 - tau) * below[k - 1] + tau * (below[-1] - below[k - 1])) / ((1 - tau) * k + tau * upper)
        if k == len(q) or v <= q[k]:
            return v
""",
        """
def implicit_value(action, target, tau):
    q = np.zeros(len(target))
    for a in set(action.tolist()):
        q[action == a] = np.mean(target[action == a])
    v = q.max()
    while True:
        before, up = v, q > v
        v = (tau * q[up].sum() + (1 - tau) * q[~up].sum()) / (tau * up.sum() + (1 - tau) * (~up).sum())
        if abs(v - before) < 1e-12 * (1 + abs(v)):
            return v
""",
    ],
    "diagnosis": [
        """
diagnosis = dict(
    A="advantage with the wrong sign",
    B="target critics never updated",
    C="observations not standardised while acting",
    D="expectile's weights swapped",
)
""",
        'diagnosis = {run: CAUSES[number] for run, number in zip("ABCD", (4, 5, 6, 2))}',
    ],
}

WRONG = {
    "shortcut": [
        (
            "np.clip(guess(x, np.full(len(x), now)), -1, 1)",
            "guess(x, np.full(len(x), now))",
            "the guess leaves [−1, 1]",
        ),
        (
            "noise = (x - np.sqrt(now) * action) / np.sqrt(1 - now)",
            "noise = (x - np.sqrt(now) * guess(x, np.full(len(x), now))) / np.sqrt(1 - now)",
            "before it was clipped",
        ),
        (
            "        x = np.sqrt(after) * action + np.sqrt(1 - after) * noise",
            "        beta = 1 - now / after\n        x = (np.sqrt(after) * beta * action + np.sqrt(1 - beta) * (1 - after) * x) / (1 - now)",
            "the mean of the lecture's step",
        ),
        ("noise = (x - np.sqrt(now) * action) / np.sqrt(1 - now)", "noise = path[0]", "the noise of the beginning"),
        ("np.full(len(x), now)", "np.full(len(x), after)", "the share that will be left"),
        (
            "zip(visited, [*visited[1:], 0], strict=True)",
            "zip(visited, [step - 1 for step in visited], strict=True)",
            "one step back",
        ),
        (
            "np.sqrt(after) * action + np.sqrt(1 - after) * noise",
            "after * action + (1 - after) * noise",
            "the roots are missing",
        ),
        ("np.sqrt(after) * action + np.sqrt(1 - after) * noise", "np.sqrt(after) * action", "no noise is left"),
        (
            "noise = (x - np.sqrt(now) * action) / np.sqrt(1 - now)",
            "noise = guess(x, np.full(len(x), now))\n        action = np.clip((x - np.sqrt(1 - now) * noise) / np.sqrt(now), -1, 1)",
            "is taken for the noise",
        ),
        ("zip(visited, [*visited[1:], 0], strict=True)", "zip(visited, visited[1:])", "it ends too early"),
        (
            "        x = np.sqrt(after) * action + np.sqrt(1 - after) * noise",
            "        x[:] = np.sqrt(after) * action + np.sqrt(1 - after) * noise",
            "it changed one of its arguments",
        ),
        ("kept[step], kept[following]", "kept[step], (1.0 if step == visited[-1] else kept[step - 3])", ""),
        (
            "        path.append(x)",
            "        x = np.clip(x, -1, 1)\n        path.append(x)",
            "the places are clipped, too",
        ),
        ("np.full(len(x), now)", "now", "share must be (2,), not ()"),
        ("np.full(len(x), now)", "np.full(len(x), np.sqrt(now))", "the root of the share"),
        ("np.full(len(x), now)", "np.full(len(x), 1 - now)", "how much noise there is"),
        (
            "zip(visited, [*visited[1:], 0], strict=True)",
            "zip(visited[::-1], [*visited[-2::-1], 0], strict=True)",
            "from small to large",
        ),
        ("now, after = kept[step],", "now, after = kept[step - 1],", "begins with step 0"),
        (
            "noise = (x - np.sqrt(now) * action) / np.sqrt(1 - now)",
            "noise = x - np.sqrt(now) * action",
            "not divided by its root",
        ),
        (
            "noise = (x - np.sqrt(now) * action) / np.sqrt(1 - now)",
            "noise = (x - np.sqrt(now) * action) / (1 - now)",
            "without its root",
        ),
        (
            "noise = (x - np.sqrt(now) * action) / np.sqrt(1 - now)",
            "noise = (x - action) / np.sqrt(1 - now)",
            "the whole action is taken out",
        ),
        (
            "noise = (x - np.sqrt(now) * action) / np.sqrt(1 - now)\n        x = np.sqrt(after) * action + np.sqrt(1 - after) * noise",
            "noise = (x - now * action) / (1 - now)\n        x = after * action + (1 - after) * noise",
            "no root at all",
        ),
        ("x = np.sqrt(after) * action + np.sqrt(1 - after) * noise", "x = action", "x became the guess"),
        (
            "x = np.sqrt(after) * action + np.sqrt(1 - after) * noise",
            "x = np.sqrt(now) * action + np.sqrt(1 - now) * noise",
            "x stays as it is",
        ),
        (
            "x = np.sqrt(after) * action + np.sqrt(1 - after) * noise",
            "x = np.sqrt(1 - after) * action + np.sqrt(after) * noise",
            "the two roots have changed places",
        ),
        (
            "x = np.sqrt(after) * action + np.sqrt(1 - after) * noise",
            "x = np.sqrt(after) * action - np.sqrt(1 - after) * noise",
            "the noise is subtracted",
        ),
        ("return path", "return path[::-1]", "noise comes first"),
    ],
    "translation": [
        (
            "left, noisy = np.sqrt(share)[:, None], np.sqrt(1 - share)[:, None]",
            "left, noisy = np.sqrt(share), np.sqrt(1 - share)",
            "over the numbers of an action",
        ),
        (
            "left, noisy = np.sqrt(share)[:, None], np.sqrt(1 - share)[:, None]",
            "noisy, left = np.sqrt(share)[:, None], np.sqrt(1 - share)[:, None]",
            "is changed with",
        ),
        (
            "left, noisy = np.sqrt(share)[:, None], np.sqrt(1 - share)[:, None]",
            "left, noisy = share[:, None], 1 - share[:, None]",
            "the roots are missing",
        ),
        ("(x - noisy * output) / left", "x - noisy * output", "of the action is left"),
        ("(x - noisy * output) / left", "output", "the noise is returned as it is"),
        ("left * x - noisy * output", "left * x + noisy * output", "subtract it"),
        ("left * x - noisy * output", "output", "the velocity is returned as it is"),
        ("left * x - noisy * output", "noisy * x + left * output", "the noise in x"),
        ("error * share / (1 - share)", "error * (1 - share) / share", "upside down"),
        ("error * share / (1 - share)", "error * np.sqrt(share / (1 - share))", "an error is squared"),
        ("error = error * share / (1 - share)", "error = error", "whatever the network says"),
        ("error = error / (1 - share)", "error = error * share / (1 - share)", "the noise's error"),
        ("error = error / (1 - share)", "error = error / share", "divided by ᾱ"),
        (
            "np.sum((guess - action) ** 2, axis=-1)",
            "np.mean((guess - action) ** 2, axis=-1)",
            "the mean over the numbers",
        ),
        ("return error.mean()", "return error.sum()", "the sum over the batch"),
        (
            "np.sum((guess - action) ** 2, axis=-1)",
            "np.sum((guess - action) ** 2, axis=-1).mean()",
            "each row's own factor",
        ),
        ("left * x - noisy * output", "left * x - noisy * output + (len(x) > 2)", ""),
        ("error = error / (1 - share)", "error = error / (1 - share[:1])", ""),
        ("error = error / (1 - share)", "error = 1.0 * error", "that is the action's error"),
        ("(x - noisy * output) / left", "(x + noisy * output) / left", "contains √(1 − ᾱ) ε"),
        ("(x - noisy * output) / left", "(x - output) / left", "the factor of ε in x"),
        ("return left * x - noisy * output", "return (x - noisy * output) / left", "taken for the noise"),
        ("error * share / (1 - share)", "error / (1 - share)", "here the ᾱ is missing"),
        ("(guess - action) ** 2", "np.abs(guess - action)", "the absolute errors"),
    ],
    "conservative": [
        ("np.add.at(gradient, state, pull)", "gradient[state] += pull", "counts once"),
        ("gamma * ~terminated", "gamma", "bootstraps past the end"),
        (
            "np.add.at(gradient, state, pull)",
            "np.add.at(gradient, state, pull)\n    follows = next_state, q[next_state].argmax(axis=-1)\n    np.add.at(gradient, follows, gamma * ~terminated * (y - q[state, action]))",
            "through the target",
        ),
        (
            "pull = alpha * chance / chance.sum(axis=-1, keepdims=True)",
            "pull = alpha * (q[state] == q[state].max(axis=-1, keepdims=True))",
            "only the largest Q is pushed down",
        ),
        (
            "pull = alpha * chance / chance.sum(axis=-1, keepdims=True)",
            "pull = alpha * np.full_like(chance, 1 / q.shape[1])",
            "all actions are pushed down alike",
        ),
        (
            "pull = alpha * chance / chance.sum(axis=-1, keepdims=True)",
            "pull = alpha * chance / chance.sum()",
            "over the whole batch",
        ),
        (
            "pull[rows, action] += q[state, action] - y - alpha",
            "pull[rows, action] += q[state, action] - y",
            "not pulled up",
        ),
        (
            "pull[rows, action] += q[state, action] - y - alpha",
            "pull = -pull\n    pull[rows, action] += q[state, action] - y + alpha",
            "the wrong way round",
        ),
        (
            "pull[rows, action] += q[state, action] - y - alpha",
            "pull[rows, action] += 2 * (q[state, action] - y) - alpha",
            "the ½ of the square",
        ),
        (
            "pull[rows, action] += q[state, action] - y - alpha",
            "pull[rows, action] += y - q[state, action] - alpha",
            "away from their targets",
        ),
        ("q[next_state].max(axis=-1)", "np.log(np.exp(q[next_state]).sum(axis=-1))", "the target's maximum"),
        ("return gradient / len(state)", "return gradient", "the sum over the batch"),
        (
            "pull[rows, action] += q[state, action] - y - alpha",
            "pull[rows, action] += alpha * (q[state, action] - y - 1)",
            "weighs the Bellman error",
        ),
        ("gradient = np.zeros(q.shape)", "gradient = q", "it changed one of its arguments"),
        ("gamma * ~terminated", "0.5 * ~terminated", ""),
        ("- y - alpha", "- y - 0.75", ""),
        ("gamma * ~terminated", "~terminated", "γ is missing"),
        ("q[next_state].max", "q[state].max", "the largest Q of s:"),
        ("~terminated", "terminated", "the mask is the wrong way round"),
        (
            "pull = alpha * chance / chance.sum(axis=-1, keepdims=True)\n    pull[rows, action] += q[state, action] - y - alpha",
            "pull = chance / chance.sum(axis=-1, keepdims=True)\n    pull[rows, action] += q[state, action] - y - 1",
            "α is missing",
        ),
        ("pull = alpha * chance", "pull = chance", "in front of the softmax"),
        ("- y - alpha", "- y - 1", "where the data's actions are pulled up"),
        (
            "    np.add.at(gradient, state, pull)\n",
            "    np.add.at(gradient, (state, action), q[state, action] - y - alpha)\n"
            "    gradient += alpha * np.exp(q) / np.exp(q).sum(axis=-1, keepdims=True)\n",
            "every state is pushed down once",
        ),
        (
            "pull[rows, action] += q[state, action] - y - alpha\n    gradient = np.zeros(q.shape)\n    np.add.at(gradient, state, pull)",
            "gradient = np.zeros(q.shape)\n    np.add.at(gradient, state, pull)\n    gradient[state, action] += q[state, action] - y - alpha",
            "a pair that occurs twice",
        ),
        ("q[next_state].max(axis=-1)", "q.max()", "of the whole table: s′"),
        ("q[next_state].max(axis=-1)", "q[next_state].mean(axis=-1)", "the mean of Q(s′"),
        ("q[next_state].max(axis=-1)", "q[next_state, action]", "of the action taken in s"),
        (
            "y = reward + gamma * ~terminated * q[next_state].max(axis=-1)",
            "y = ~terminated * (reward + gamma * q[next_state].max(axis=-1))",
            "took the reward away",
        ),
        (
            "pull = alpha * chance / chance.sum(axis=-1, keepdims=True)",
            "pull = alpha * chance",
            "not divided by its sum",
        ),
        (
            "pull = alpha * chance / chance.sum(axis=-1, keepdims=True)",
            "pull = alpha * chance / np.exp(q).sum()",
            "over the whole table; it",
        ),
        ("chance = np.exp(q[state])", "chance = np.exp(q[next_state])", "that of s′: the state"),
        ("chance = np.exp(q[state])", "chance = np.exp(q[state] / alpha)", "α is a temperature here"),
        (
            "pull = alpha * chance / chance.sum(axis=-1, keepdims=True)",
            "pull = alpha * np.log(chance.sum(axis=-1, keepdims=True)) * np.ones_like(chance)",
            "log Σ exp itself was taken",
        ),
        ("pull = alpha * chance / chance.sum(axis=-1, keepdims=True)", "pull = 0.0 * chance", "nothing is pushed down"),
        (
            "pull = alpha * chance / chance.sum(axis=-1, keepdims=True)\n    pull[rows, action] += q[state, action] - y - alpha",
            "pull = 0.0 * chance\n    pull[rows, action] += q[state, action] - y",
            "the conservative term is missing",
        ),
        (
            "pull[rows, action] += q[state, action] - y - alpha",
            "pull[rows, action] -= alpha",
            "the Bellman error is missing",
        ),
        (
            "pull[rows, action] += q[state, action] - y - alpha",
            "pull[rows, action] += (q[state, action] - y) / 2 - alpha",
            "to half its error",
        ),
        ("/ len(state)", "/ len(q)", "by the number of states"),
    ],
    "expectile": [
        (
            "q = np.array([target[action == number].mean() for number in action])",
            "q = np.array(target)",
            "takes luck for skill",
        ),
        ("for number in action])", "for number in np.unique(action)])", "each action counts once"),
        ("np.where(q < value, 1 - tau, tau)", "np.where(q < value, tau, 1 - tau)", "the wrong way round"),
        ("    for _ in q:  # more rounds than it can need", "    for _ in ():", "τ is unused"),
        ("    return value", "    return q.max()", "the best action's value"),
        ("    return value", '    return np.quantile(q, tau, method="higher")', "that is a quantile"),
        ("    for _ in q:  # more rounds than it can need", "    for _ in range(1):", "not at rest yet"),
        ("/ weight.sum()", "/ len(q)", "do not sum to 1"),
        ("np.where(q < value, 1 - tau, tau)", "np.where(q < value, (1 - tau) ** 2, tau**2)", "the weight is squared"),
        (
            "    for _ in q:  # more rounds than it can need\n        weight = np.where(q < value, 1 - tau, tau)\n        value = (weight * q).sum() / weight.sum()",
            "    value = tau * q[q >= value].mean() + (1 - tau) * q[q < value].mean()",
            "the means of both sides",
        ),
        ("1 - tau, tau", "0.2, 0.8", ""),
        ("    for _ in q:  # more rounds than it can need", "    for _ in range(2):", ""),
        ("    for _ in q:  # more rounds than it can need", "    for _ in range(2):", "two rounds are not enough"),
        (".mean() for number", ".max() for number", "the best of an action"),
        (".mean() for number", ".sum() for number", "the sum of an action"),
        ("1 - tau, tau", "1.0, tau", "weighs 1: it weighs"),
    ],
    "diagnosis": [
        ('["A"] = "advantage with the wrong sign"', '["A"] = "all weights are 1"', ""),
        ('["B"] = "target critics never updated"', '["B"] = "all weights are 1"', ""),
        ('["C"] = "observations not standardised while acting"', '["C"] = "healthy"', ""),
        ('["D"] = "expectile\'s weights swapped"', '["D"] = "bootstraps past the end"', ""),
    ],
}

# Small changes that no hidden check can tell from the solution, and why.
EQUIVALENT = {
    "shortcut": {
        "for step, following in zip(visited, [*visited[1:], 0]):": "the lengths are equal",
        "for step, following in zip(visited, [*visited[1:], 0], strict=False):": "the lengths are equal",
        "action = np.clip(-1, guess(x, np.full(len(x), now)), 1)": "NumPy takes the larger of the first two",
    },
    "expectile": {
        "value = q.sum()": "the first V does not matter: it comes to rest at the same",
        "value = q": "the first V does not matter: it comes to rest at the same",
        "value = action.mean()": "the first V does not matter: it comes to rest at the same",
        "value = target.mean()": "the first V does not matter: it comes to rest at the same",
        "value = np.zeros_like(q).mean()": "the first V does not matter: it comes to rest at the same",
        "value = np.ones_like(q).mean()": "the first V does not matter: it comes to rest at the same",
        "for _ in action:": "the lengths are equal",
        "for _ in target:": "the lengths are equal",
        "for _ in np.zeros_like(q):": "the lengths are equal",
        "for _ in np.ones_like(q):": "the lengths are equal",
        "weight = np.where(q <= value, 1 - tau, tau)": "what equals V has no part in where V rests",
        "value = (weight * target).sum() / weight.sum()": "transitions of one action have one weight, and q is their targets' mean",
    },
}
