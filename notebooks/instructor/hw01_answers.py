"""Homework 1: answers that must get full points, and mistakes that must be named. Not for students.

`RIGHT` holds other ways to write each answer; `WRONG` changes the official one: (old, new, part of the visible
check's message). The tests of the grader run them all.
"""

RIGHT = {
    "expected-sarsa": [
        """
def expected_sarsa_target(reward, terminated, next_q, epsilon, gamma):
    best = next_q.max(axis=1)
    average = next_q.mean(axis=1)
    expectation = epsilon * average + (1 - epsilon) * best
    return reward + np.where(terminated, 0.0, gamma * expectation)
""",
        """
def expected_sarsa_target(reward, terminated, next_q, epsilon, gamma):
    targets = []
    for r, end, q in zip(reward, terminated, next_q):
        policy = np.full(len(q), epsilon / len(q))
        policy[q.argmax()] += 1 - epsilon
        targets.append(r if end else r + gamma * policy @ q)
    print("a print that somebody forgot")
    return targets
""",
    ],
    "prioritised-sweeping": [
        """
def prioritised_sweeping(reward, transition, gamma, threshold, backups):
    def backup(s):
        return max(reward[s, a] + gamma * transition[s, a] @ values for a in range(reward.shape[1]))

    values, order = np.zeros(len(reward)), []
    for _ in range(backups):
        # slower, but the same: every priority is fresh
        priority = [abs(backup(s) - values[s]) for s in range(len(reward))]
        s = int(np.argmax(priority))
        if priority[s] <= threshold:
            break
        values[s] = backup(s)
        order.append(s)
    return values, order
""",
        """
import heapq

def prioritised_sweeping(reward, transition, gamma, threshold, backups):
    states = range(len(reward))
    values = np.zeros(len(reward))
    look_ahead = lambda s: np.max(reward[s] + gamma * transition[s].dot(values))
    predecessors = [[p for p in states if transition[p, :, s].sum() > 0] for s in states]
    current = [abs(look_ahead(s)) for s in states]
    heap = [(-current[s], s) for s in states]
    heapq.heapify(heap)
    order = []
    while heap and len(order) < backups:
        negative, s = heapq.heappop(heap)
        if -negative != current[s]:
            continue  # outdated
        if current[s] <= threshold:
            break
        values[s] = look_ahead(s)
        order.append(s)
        for p in {s, *predecessors[s]}:
            current[p] = abs(look_ahead(p) - values[p])
            heapq.heappush(heap, (-current[p], p))
    return values, order
""",
    ],
    "sweep-order": [
        """
def sweeps_needed(reward, transition, gamma, order, tolerance):
    values = np.zeros(len(reward))
    count = 0
    while True:
        before = values.copy()
        for s in order:
            values[s] = np.max(reward[s] + gamma * transition[s] @ values)
        count += 1
        if np.max(np.abs(values - before)) < tolerance:
            return count
""",
        """
def sweeps_needed(reward, transition, gamma, order, tolerance):
    values = [0.0] * len(reward)
    change, sweeps = tolerance, 0
    while change >= tolerance:
        change, sweeps = 0.0, sweeps + 1
        for s in order:
            new = max(r + gamma * sum(p * v for p, v in zip(row, values)) for r, row in zip(reward[s], transition[s]))
            change = max(change, abs(new - values[s]))
            values[s] = new
    return sweeps
""",
    ],
    "variance": [
        """
def return_variance(reward, transition, gamma):
    values = np.linalg.inv(np.eye(len(reward)) - gamma * transition) @ reward
    second = np.linalg.inv(np.eye(len(reward)) - gamma * gamma * transition) @ (
        reward**2 + 2 * gamma * reward * (transition @ values)
    )
    return second - values**2
""",
        """
def return_variance(reward, transition, gamma):
    values, variance = np.zeros(len(reward)), np.zeros(len(reward))
    for _ in range(500):
        values = reward + gamma * transition @ values
    spread = transition @ values**2 - (transition @ values) ** 2
    for _ in range(500):
        variance = gamma**2 * (spread + transition @ variance)
    return variance
""",
    ],
    "diagnosis": [
        'diagnosis = dict(A="bootstraps from the start of the next episode", B="no exploration", C="no discount", D="step size too large")',
        """
runs = "ABCD"
causes = ["bootstraps from the start of the next episode", "no exploration", "no discount", "step size too large"]
diagnosis = dict(zip(runs, causes))
""",
    ],
}

WRONG = {
    "expected-sarsa": [
        (
            "np.eye(next_q.shape[1])[next_q.argmax(-1)]",
            "next_q == next_q.max(-1, keepdims=True)",
            "tied actions",
        ),
        ("(policy * next_q).sum(-1)", "next_q.max(-1)", "that is Q-learning"),
        ("* (1 - terminated) ", "", "bootstraps past the end"),
        ("gamma * ", "", "γ is missing"),
        ("(policy * next_q).sum(-1)", "next_q.mean(-1)", "the plain mean"),
        (
            "epsilon / next_q.shape[1]",
            "epsilon * (1 - greedy) / (next_q.shape[1] - 1)",
            "uniform over the others only",
        ),
        (".sum(-1)", ".sum(-1, keepdims=True)", "has shape (3, 3)"),
        ("next_q.argmax(-1)", "next_q.argmax(0)", "argmax is over the batch"),
        ("next_q.argmax(-1)", "0 * next_q.argmax(-1)", "always action 0"),
        ("(policy * next_q).sum(-1)", "(policy * next_q).mean(-1)", "divided by the number of actions"),
        (
            "(policy * next_q).sum(-1)",
            "((1 - epsilon) * next_q.argmax(-1) + epsilon * next_q.mean(-1))",
            "argmax is the number of the action",
        ),
        ("+ epsilon / next_q.shape[1]", "+ (1 - greedy) * epsilon / next_q.shape[1]", "do not sum to 1: the greedy"),
        (
            "(1 - epsilon) * greedy + epsilon / next_q.shape[1]",
            "epsilon * greedy + (1 - epsilon) / next_q.shape[1]",
            "have changed places",
        ),
        (
            "reward + gamma * (1 - terminated) * (policy * next_q).sum(-1)",
            "(1 - terminated) * (reward + gamma * (policy * next_q).sum(-1))",
            "the mask took the reward away",
        ),
    ],
    "prioritised-sweeping": [
        ("abs(backup(s) - values[s])", "backup(s) - values[s]", "without its absolute value"),
        ("for p in {s, *predecessors}:", "for p in {s}:", "predecessors keep their old priority"),
        (
            "transition[:, :, s].any(-1)",
            "transition[s].any(0)",
            "successors instead of predecessors",
        ),
        ("for p in {s, *predecessors}:", "for p in predecessors:", "keeps its priority after its own backup"),
        ("gamma * transition", "transition", "γ is missing"),
        (".max()", ".mean()", "the mean over actions"),
        ("return values, order", "return order, values", "the values come first"),
        ("priority.argmax()", "priority.argmin()", "the smallest priority first"),
        ("priority.max() > threshold", "priority.max() >= threshold", "equal to the threshold"),
        ("priority.argmax()", "len(priority) - 1 - priority[::-1].argmax()", "of equal priorities the last"),
        (" and priority.max() > threshold", "", "no priority is above `threshold`"),
        (
            "    while len(order) < backups and priority.max() > threshold:\n",
            "    largest = np.inf\n"
            "    while len(order) < backups and largest > threshold:\n        largest = priority.max()\n",
            "one backup too many",
        ),
    ],
    "sweep-order": [
        (
            "gamma * transition[s] @ values",
            "gamma * transition[s] @ before",
            "a synchronous sweep",
        ),
        ("for s in order:", "for s in range(len(reward)):", "ignores the order"),
        ("gamma * transition", "transition", "γ is missing"),
        ("return sweeps\n", "return sweeps - 1\n", "the last sweep is not counted"),
        ("np.abs(values - before).max()", "np.abs(values - before).min()", "the smallest change"),
        ("np.abs(values - before).max()", "(values - before).max()", "without its absolute value"),
        ("np.abs(values - before).max()", "np.abs(values - before).sum()", "are added up"),
        ("np.abs(values - before).max()", "np.abs(values - before).mean()", "a mean is taken"),
        ("np.abs(values - before).max()", "abs(values - before)[order[-1]]", "the change of the last state alone"),
        ("np.abs(values - before).max()", "np.abs(values - values).max()", "the change is always 0"),
        ("change >= tolerance", "change > tolerance", "a change equal to the tolerance"),
    ],
    "variance": [
        ("gamma**2 * transition", "gamma * transition", "γ² belongs to the second moment"),
        ("2 * gamma", "gamma", "a cross term, and it appears twice"),
        (
            "2 * gamma * reward * (transition @ values)\n    second = np.linalg.solve(identity - gamma**2",
            "gamma * reward * (transition @ values)\n    second = np.linalg.solve(identity - gamma",
            "two slips are left",
        ),
        ("2 * gamma * reward", "2 * gamma**2 * reward", "is not squared"),
        ("reward * (transition @ values)", "(reward * transition) @ values", "the reward belongs to s"),
        ("- values**2", "- values", "the square of the mean"),
        ("return second - values**2", "return second", "that is the second moment"),
        ("2 * gamma * reward", "2 * reward", "γ is missing in the cross term"),
    ],
    "diagnosis": [
        ('["A"] = "bootstraps from the start of the next episode"', '["A"] = "no discount"', ""),
        ('["B"] = "no exploration"', '["B"] = "healthy"', ""),
        ('["C"] = "no discount"', '["C"] = "bootstraps from the start of the next episode"', ""),
        ('["D"] = "step size too large"', '["D"] = "no exploration"', ""),
    ],
}

# Small changes that no hidden check can tell from the solution, and why.
EQUIVALENT = {
    "expected-sarsa": {
        "greedy = np.eye(next_q.shape[1])[last_argmax(next_q, -1)]": "tied actions have one value",
        "policy = (1 - epsilon) * greedy * greedy + epsilon / next_q.shape[1]": "greedy is 0 or 1",
    },
    "prioritised-sweeping": {
        "predecessors = np.flatnonzero(np.ones_like(transition)[:, :, s].any(-1))": "all states, which is only slower",
    },
}
