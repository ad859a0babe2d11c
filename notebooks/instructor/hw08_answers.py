"""Homework 8: answers that must get full points, and mistakes that must be named. Not for students.

`RIGHT` holds other ways to write each answer; `WRONG` changes the official one: (old, new, part of the visible
check's message). The tests of the grader run them all.

| question | nearest in `rlcourse` | why calling it fails |
|---|---|---|
| geometric | `her.goal_index` | four strategies, all uniform |
| hindsight-return | `her.relabel` | one step's reward; no return, no first arrival |
| bit-flip | `envs.BitFlip` | a world to sample from; no probability |
| relabel | `her.relabel` | tensors, goals elsewhere in the observation, no lot |
"""

RIGHT = {
    "geometric": [
        """
def geometric_goal(index, last, keep, uniform):
    chosen = []
    for i, end, u in zip(index, last, uniform):
        weight = keep ** np.arange(end - i + 1)
        cumulative = np.cumsum(weight / weight.sum())
        chosen.append(i + min(int((cumulative <= u).sum()), end - i))
    return np.array(chosen)
""",
        """
def geometric_goal(index, last, keep, uniform):
    goals = []
    for i, end, u in zip(index.tolist(), last.tolist(), uniform.tolist()):
        total = sum(keep**k for k in range(end - i + 1))
        j, sum_so_far = i, 1 / total
        while sum_so_far <= u and j < end:
            j += 1
            sum_so_far += keep ** (j - i) / total
        goals.append(j)
    return goals
""",
    ],
    "hindsight-return": [
        """
import math


def hindsight_return(position, step, source, tolerance, gamma):
    total, discount = 0.0, 1.0
    for place in position[step + 1 :]:
        if math.dist(place, position[source + 1]) <= tolerance:
            return total
        total -= discount
        discount *= gamma
""",
        """
def hindsight_return(position, step, source, tolerance, gamma):
    squared = ((position - position[source + 1]) ** 2).sum(1)
    arrivals = [k for k in range(step + 1, len(position)) if squared[k] <= tolerance**2]
    return float(-sum(gamma**k for k in range(min(arrivals) - step - 1)))
""",
    ],
    "bit-flip": [
        """
import math


def reach_probability(bits, steps):
    move = np.zeros((bits + 2, bits + 2))  # the last state: arrived
    for d in range(bits + 1):
        move[d, d - 1 if d > 1 else -1] += d / bits
        if d < bits:
            move[d, d + 1] += 1 - d / bits
    move[-1, -1] = 1.0
    start = np.array([math.comb(bits, d) for d in range(bits + 1)] + [0]) / 2**bits
    return (start @ np.linalg.matrix_power(move, steps))[-1]
""",
        """
import math


def reach_probability(bits, steps):
    fails = [1.0] * (bits + 1)  # within no steps, from each number of wrong bits
    for _ in range(steps):
        fails = [
            (d / bits * fails[d - 1] if d > 1 else 0.0) + (1 - d / bits) * fails[min(d + 1, bits)]
            for d in range(bits + 1)
        ]
    return sum(math.comb(bits, d) * (1 - fails[d]) for d in range(bits + 1)) / 2**bits
""",
    ],
    "relabel": [
        """
def with_hindsight(batch, source, lot, k, goal_size, tolerance):
    out = {name: values.copy() for name, values in batch.items()}
    for b in np.flatnonzero(lot * (k + 1) < k):
        goal = source["next_obs"][b, -2 * goal_size : -goal_size]
        for name in ("obs", "next_obs"):
            out[name][b, -goal_size:] = goal
        distance = np.sqrt(((batch["next_obs"][b, -2 * goal_size : -goal_size] - goal) ** 2).sum())
        out["terminated"][b] = distance <= tolerance
        out["reward"][b] = 0.0 if distance <= tolerance else -1.0
    return out["obs"], out["next_obs"], out["reward"], out["terminated"]
""",
        """
def with_hindsight(batch, source, lot, k, goal_size, tolerance):
    rest = batch["obs"].shape[1] - 2 * goal_size
    goal = source["next_obs"][:, rest : rest + goal_size]
    lucky = lot < 1 - 1 / (k + 1)
    reached = np.hypot.reduce(batch["next_obs"][:, rest : rest + goal_size] - goal, axis=1) <= tolerance
    obs, next_obs = (
        np.where(lucky[:, None], np.hstack([batch[name][:, :-goal_size], goal]), batch[name])
        for name in ("obs", "next_obs")
    )
    reward = np.where(lucky, -(~reached).astype(float), batch["reward"])
    return [obs, next_obs, reward, np.where(lucky, reached, batch["terminated"])]
""",
    ],
    "diagnosis": [
        """
diagnosis = dict(
    A="rewards not recomputed",
    B="goals from the past",
    C="next observation keeps the old goal",
    D="bootstraps past the goal",
)
""",
        'diagnosis = {run: CAUSES[number] for run, number in zip("ABCD", (2, 1, 3, 4))}',
    ],
}

WRONG = {
    "geometric": [
        (
            "np.floor(np.log1p(-uniform * within) / np.log(keep))",
            "np.floor(uniform * left)",
            "every later step is equally likely",
        ),
        ("1 - keep**left", "1.0", "piles up on the last step"),
        ("index + np.minimum(ahead, left - 1)", "np.minimum(index + 1 + ahead, last)", "the step itself is left out"),
        ("index + np.minimum(ahead, left - 1)", "np.maximum(index - ahead, 0)", "lies in the past"),
        ("return index + np.minimum", "return np.minimum", "steps ahead of `index`"),
        ("left = last - index + 1", "left = np.maximum(last - index, 1)", "the last step is left out"),
        (
            "within = 1 - keep**left\n    ahead = np.floor(np.log1p(-uniform * within) / np.log(keep)).astype(int)",
            "within = 1 - (1 - keep)**left\n    ahead = np.floor(np.log1p(-uniform * within) / np.log((1 - keep))).astype(int)",
            "λ and 1 − λ",
        ),
        (
            "index + np.minimum(ahead, left - 1)",
            "np.array([i + (np.cumsum(keep ** np.arange(n)[::-1]) / np.sum(keep ** np.arange(n)) <= u).sum() for i, n, u in zip(index, left, uniform)])",
            "the last step is the likeliest",
        ),
        ("index + np.minimum(ahead, left - 1)", "index", "always the step itself"),
        ("-uniform * within", "-(1 - uniform) * within", "from the other end"),
        (
            "    within = 1 - keep**left\n    ahead = np.floor(np.log1p(-uniform * within) / np.log(keep)).astype(int)\n    return index + np.minimum(ahead, left - 1)",
            "    return index + np.floor(np.log1p(-uniform) / np.log(keep)).astype(int)",
            "beyond the last step",
        ),
        ("index + np.minimum(ahead, left - 1)", "index + 1 + ahead", "one step too far"),
    ],
    "hindsight-return": [
        ("unpaid = int(reached.argmax())", "unpaid = source - step", "came by the goal before"),
        ("position[step + 1 :]", "position[step:]", "how far a step leads from"),
        ("position[source + 1]", "position[source]", "before the chosen step"),
        ("unpaid = int(reached.argmax())", "unpaid = int(reached.argmax()) + 1", "the step that arrives"),
        ("-(1 - gamma**unpaid) / (1 - gamma)", "-float(unpaid)", "γ is missing"),
        ("<= tolerance", "< tolerance", "equality counts"),
        ("<= tolerance", "<= 1.0", "`tolerance` is ignored"),
        (" <= tolerance", "**2 <= tolerance", "the squared distance"),
        ("axis=1)", "axis=1, ord=1)", "not the sum of the sides"),
        (
            "unpaid = int(reached.argmax())",
            "return -float((gamma ** np.arange(len(reached)) * ~reached).sum())",
            "goes on after the arrival",
        ),
        ("position[step + 1 :]", "position[step:]", "one −1 too many"),
        ("axis=1)", "axis=1, ord=np.inf)", "not the largest side"),
        ("<= tolerance", "<= tolerance**2", "the square of `tolerance`"),
        ("unpaid = int(reached.argmax())", "unpaid = 0", "how far a step leads"),
        ("position[source + 1]", "position[-1]", "where the episode ended:"),
        (
            "unpaid = int(reached.argmax())",
            "return -float((gamma ** np.arange(source - step) * ~reached[: source - step]).sum())",
            "up to that step",
        ),
        ("-(1 - gamma**unpaid)", "-gamma * (1 - gamma**unpaid)", "the first reward is discounted"),
        (
            "return -(1 - gamma**unpaid) / (1 - gamma)",
            "return gamma**unpaid - (1 - gamma**unpaid) / (1 - gamma)",
            "is paid +1",
        ),
        (
            "unpaid = int(reached.argmax())",
            "unpaid = int(reached.argmax())\n    return -float(sum(gamma ** (k + step if k else 0) for k in range(unpaid)))",
            "γ counts from the",
        ),
        ("return -(1 - gamma**unpaid) / (1 - gamma)", "return -float(gamma**unpaid)", "a single reward"),
        (
            "unpaid = int(reached.argmax())",
            "unpaid = int((np.linalg.norm(position - goal, axis=1) <= tolerance).argmax()) - step - 1",
            "an arrival before `step`",
        ),
        ("unpaid = int(reached.argmax())", "unpaid = source - step + 1", "no step pays 0: the one"),
    ],
    "bit-flip": [
        ("    arrived = 0.0\n", "    arrived, share[0] = share[0], 0.0\n", "starting in the goal"),
        ("        share[0] = 0.0\n", "        arrived = share[0]\n", "at the end"),
        ("        share[0] = 0.0\n", "", "leave the goal and arrive again"),
        ("range(steps)", "range(steps - 1)", "one step is missing"),
        ("range(steps)", "range(steps + 1)", "one step too many"),
        (
            "share * wrong / bits, share * (bits - wrong) / bits",
            "share * (bits - wrong) / bits, share * wrong / bits",
            "the wrong way round",
        ),
        ("np.array([math.comb(bits, d) for d in wrong]) / 2.0**bits", "np.ones(bits + 1) / (bits + 1)", "not uniform"),
        ("share * wrong / bits, share * (bits - wrong) / bits", "0.5 * share, 0.5 * share", "equally likely"),
        ("    arrived = 0.0\n", "    arrived = share[0] = 0.0\n", "start in the goal are left out"),
        (
            "    share = np.array([math.comb(bits, d) for d in wrong]) / 2.0**bits\n",
            "    share = np.array([math.comb(bits, d) for d in wrong]) / 2.0**bits\n    share[0] = 0.0\n    share = share / share.sum()\n",
            "made up to 1",
        ),
        (
            "    share = np.array([math.comb(bits, d) for d in wrong]) / 2.0**bits\n",
            "    share = 1.0 * (wrong == bits)\n",
            "all bits are wrong at the start",
        ),
        (
            "share * wrong / bits, share * (bits - wrong) / bits",
            "share * (wrong > 0) / bits, share * (bits - 1 + (wrong == 0)) / bits",
            "with 1 / n here",
        ),
        (
            "    share = np.array([math.comb(bits, d) for d in wrong]) / 2.0**bits\n",
            "    share = np.array([math.comb(bits, d) for d in wrong]) / 2.0**bits\n    return 1 - (1 - 0.5**bits) ** steps\n",
            "taken as independent",
        ),
        ("arrived += share[0]", "arrived = share[0]", "with the very last step"),
        (" / 2.0**bits", " * 1.0", "that is no probability"),
    ],
    "relabel": [
        ("lot < k", "lot <= k", "a lot that equals the share"),
        ('source["next_obs"][:, achieved]', 'source["obs"][:, achieved]', "before the chosen step"),
        ("    next_obs[chosen, -goal_size:] = goal[chosen]\n", "", "the target still reads the old goal"),
        ("    obs[chosen, -goal_size:] = goal[chosen]\n", "", "s was not relabelled"),
        ('np.where(chosen, there - 1.0, batch["reward"])', '1.0 * batch["reward"]', "the old reward was kept"),
        ('np.where(chosen, there, batch["terminated"])', '1 * batch["terminated"] == 1', "the old end was kept"),
        ("k / (k + 1)", "1 / k", "the share is too small, 1/k"),
        ('np.where(chosen, there - 1.0, batch["reward"])', "there - 1.0", "the reward is changed"),
        ("next_obs[:, achieved] - goal, axis", "obs[:, achieved] - goal, axis", "where the step leads to"),
        ("<= tolerance", "< tolerance", "equality counts"),
        ("<= tolerance", "<= 1.0", "`tolerance` is ignored"),
        (" <= tolerance", "**2 <= tolerance", "the squared distance"),
        ("axis=1)", "axis=1, ord=1)", "not the sum of the sides"),
        ("lot < k", "lot >= k", "lots are the wrong way round"),
        ("lot < k", "lot >= k", "nothing is relabelled"),
        ('source["next_obs"][:, achieved]', 'source["next_obs"][:, :goal_size]', "what the first columns hold"),
        ('source["next_obs"][:, achieved]', 'source["next_obs"][:, -goal_size:]', "the chosen step desired"),
        ("there - 1.0", "there * 1.0", "an arrival pays 1"),
        ("k / (k + 1)", "1 / (k + 1)", "the share is too small"),
        ("axis=1)", "axis=1, ord=np.inf)", "not the largest side"),
        ("<= tolerance", "<= 0", "met exactly here"),
        ('source["next_obs"][:, achieved]', 'batch["next_obs"][:, achieved]', "the transition itself achieved"),
        ("obs[chosen, -goal_size:] = goal[chosen]", "obs[chosen, achieved] = goal[chosen]", "over the achieved goal"),
        ("return obs, next_obs", "return next_obs, obs", "have changed places"),
        ("lot < k", "lot < 2 * k", "everything is relabelled"),
        ("there - 1.0", "-1.0 * there", "the rewards are exchanged"),
        ('np.where(chosen, there, batch["terminated"])', "there", "the ends are changed"),
        (
            'reward = np.where(chosen, there - 1.0, batch["reward"])\n    return obs, next_obs, reward, np.where(chosen, there, batch["terminated"])',
            "return obs, next_obs, there - 1.0, there",
            "rewards and ends are changed",
        ),
        (
            'reward = np.where(chosen, there - 1.0, batch["reward"])\n    return obs, next_obs, reward, np.where(chosen, there, batch["terminated"])',
            'return obs, next_obs, batch["reward"], batch["terminated"]',
            "both belong to the old goal",
        ),
        (
            'np.where(chosen, there, batch["terminated"])',
            '~chosen & batch["terminated"]',
            "nothing that is relabelled ends",
        ),
        ("next_obs[:, achieved] - goal", "next_obs[:, :goal_size] - goal", "the first columns decide"),
    ],
    "diagnosis": [
        ('["A"] = "rewards not recomputed"', '["A"] = "goals from the past"', ""),
        ('["B"] = "goals from the past"', '["B"] = "rewards not recomputed"', ""),
        ('["C"] = "next observation keeps the old goal"', '["C"] = "no exploration"', ""),
        ('["D"] = "bootstraps past the goal"', '["D"] = "healthy"', ""),
    ],
}

# Small changes that no hidden check can tell from the solution, and why.
EQUIVALENT = {
    "geometric": {
        "ahead = (np.log1p(-uniform * within) / np.log(keep)).astype(int)": "the numbers are positive",
        "return index + ahead": "the minimum guards against rounding alone",
        "return index + np.minimum(ahead, left + 1)": "the minimum guards against rounding alone",
        "return index + np.minimum(ahead, left)": "the minimum guards against rounding alone",
        "return index + np.minimum(ahead, left - 0)": "the minimum guards against rounding alone",
    },
    "bit-flip": {
        "wrong = np.arange(bits + 1 + bits)": "more bits than there are have share 0",
        "wrong = np.arange(steps + 1)": "without a chance to be in time, whoever is further away may be forgotten",
        "wrong = np.arange(bits + 2)": "more bits than there are have share 0",
    },
    "relabel": {
        "obs, next_obs = (batch['obs'], batch['next_obs'].copy())": "the visible check names a changed argument",
        "obs, next_obs = (batch['obs'].copy(), batch['next_obs'])": "the visible check names a changed argument",
    },
}
