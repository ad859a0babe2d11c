"""Homework 9: answers that must get full points, and mistakes that must be named. Not for students.

`RIGHT` holds other ways to write each answer; `WRONG` changes the official one: (old, new, part of the visible
check's message). The tests of the grader run them all.

| question | nearest in `rlcourse` | why calling it fails |
|---|---|---|
| smooth-twin | `prioritisation.pal` | twin of another loss and other priorities, both with a kink |
| embedded-error | `td7.bellman_target`, `td7.bind_embeddings` | modules and tensors, pairs embedded too; no error |
| assessment | `widgets.checkpoints.compute` | the minimum or the mean, of two policies |
| clip-and-copy | `td7.bellman_target`, `td7.actor_loss` | one target, its bounds given; a loss for autograd |
"""

RIGHT = {
    "smooth-twin": [
        """
def smooth_twin(error, kappa, alpha):
    u = error * error + kappa * kappa
    probability = u ** (alpha / 2) / np.sum(u ** (alpha / 2))
    # N P(i) times the antiderivative of what is left, from 0 to δ
    return len(error) * probability * kappa / (1 + alpha) * (u**0.5 - kappa ** (1 + alpha) / u ** (alpha / 2))
""",
        """
def smooth_twin(error, kappa, alpha):
    mean = sum((e * e + kappa**2) ** (alpha / 2) for e in error) / len(error)

    def loss(e):
        return kappa * (e * e + kappa**2) ** ((1 + alpha) / 2) / (1 + alpha) / mean

    return [loss(e) - loss(0.0) for e in error]
""",
    ],
    "embedded-error": [
        """
def td_errors(batch, nets, noise, gamma):
    z = nets["fixed_encoder"](batch["obs"])
    z = z * z.shape[1] / np.abs(z).sum(1)[:, None]
    after = nets["target_encoder"](batch["next_obs"])
    after = after * after.shape[1] / np.abs(after).sum(1)[:, None]
    a = np.minimum(np.maximum(nets["target_actor"](batch["next_obs"], after) + noise, -1), 1)
    first, second = (critic(batch["next_obs"], a, after) for critic in nets["target_critics"])
    target = batch["reward"] + np.where(batch["terminated"], 0.0, gamma * np.minimum(first, second))
    return np.stack([target - critic(batch["obs"], batch["action"], z) for critic in nets["critics"]])
""",
        """
def td_errors(batch, nets, noise, gamma):
    print("a print that somebody forgot")
    errors = np.zeros((2, len(batch["reward"])))
    for b in range(len(batch["reward"])):
        obs, next_obs = batch["obs"][b : b + 1], batch["next_obs"][b : b + 1]
        z, follows = nets["fixed_encoder"](obs), nets["target_encoder"](next_obs)
        z, follows = z / np.mean(np.abs(z)), follows / np.mean(np.abs(follows))
        action = np.clip(nets["target_actor"](next_obs, follows) + noise[b], -1, 1)
        y = batch["reward"][b]
        if not batch["terminated"][b]:
            y += gamma * min(critic(next_obs, action, follows)[0] for critic in nets["target_critics"])
        for i, critic in enumerate(nets["critics"]):
            errors[i, b] = y - critic(obs, batch["action"][b : b + 1], z)[0]
    return errors
""",
    ],
    "assessment": [
        """
def assess(returns, rank):
    best, bar, spent = None, None, []
    for number, episodes in enumerate(returns.tolist()):
        bad = ran = 0
        while ran < len(episodes) and bad < rank:
            bad += bar is not None and episodes[ran] < bar
            ran += 1
        spent.append(ran)
        if bad < rank:
            best, bar = number, sorted(episodes)[rank - 1]
    return best, bar, spent
""",
        """
def assess(returns, rank):
    scores = np.partition(returns, rank - 1, axis=1)[:, rank - 1]
    bars = np.maximum.accumulate(scores)
    best = np.flatnonzero(scores == bars)[-1]
    spent = [returns.shape[1]]
    for policy, score, bar in zip(returns[1:], scores[1:], bars[:-1]):
        places = np.flatnonzero(policy < bar)
        spent.append(returns.shape[1] if score >= bar else places[rank - 1] + 1)
    return best, bars[-1], np.array(spent)
""",
    ],
    "clip-and-copy": [
        """
def clipped_targets(reward, terminated, next_q, gamma, every):
    low = high = 0.0
    targets = np.zeros(reward.shape)
    for u in range(len(reward)):
        if u > 0 and u % every == 0:
            low, high = targets[:u].min(), targets[:u].max()
        value = np.minimum(np.maximum(np.minimum(next_q[u, 0], next_q[u, 1]), low), high)
        targets[u] = reward[u] + np.where(terminated[u], 0.0, gamma * value)
    return targets


def action_gradient(q, slope, action, data_action, copying):
    size, number = action.shape
    climb = (slope[0] + slope[1]) / 2
    return (copying * np.mean(np.abs(q)) * 2 / number * (action - data_action) - climb) / size
""",
        """
def clipped_targets(reward, terminated, next_q, gamma, every):
    print("a print that somebody forgot")
    history, low, high, rows = [], 0.0, 0.0, []
    for r, over, twins in zip(reward, terminated, next_q):
        row = [
            x if end else x + gamma * min(max(min(first, second), low), high)
            for x, end, first, second in zip(r, over, *twins)
        ]
        history += row
        rows.append(row)
        if len(rows) % every == 0:
            low, high = min(history), max(history)
    return np.array(rows)


def action_gradient(q, slope, action, data_action, copying):
    weight = copying * (np.maximum(q, 0) + np.maximum(-q, 0)).mean()
    gradient = np.zeros(action.shape)
    for b, i in np.ndindex(*action.shape):
        gradient[b, i] = weight * 2 * (action[b, i] - data_action[b, i]) / action.size
        gradient[b, i] -= (slope[0, b, i] + slope[1, b, i]) / 2 / len(action)
    return gradient
""",
    ],
    "diagnosis": [
        """
diagnosis = dict(
    A="priorities never updated",
    B="no stop-gradient in the encoder's loss",
    C="bounds of the target never updated",
    D="checkpoint never taken",
)
""",
        'diagnosis = {run: CAUSES[number] for run, number in zip("ABCD", (3, 4, 2, 1))}',
    ],
}

WRONG = {
    "smooth-twin": [
        (
            "(size ** (1 + alpha) - kappa ** (1 + alpha)) / ((1 + alpha) * mean_priority)",
            "(size - kappa)",
            "the priorities are missing",
        ),
        (
            "(size ** (1 + alpha) - kappa ** (1 + alpha)) / ((1 + alpha) * mean_priority)",
            "(size - kappa) * size**alpha / mean_priority",
            "it is the gradient that",
        ),
        ("(size**alpha).mean()", "(size**alpha).sum()", "N is missing"),
        (" - kappa ** (1 + alpha)", "", "L(0) must be 0"),
        ("((1 + alpha) * mean_priority)", "mean_priority", "1 + α is missing"),
        ("np.sqrt(error**2 + kappa**2)", "np.maximum(np.abs(error), kappa)", "has LAP's kink"),
        ("return kappa * (", "return (", "the κ of the loss"),
        ("((1 + alpha) * mean_priority)", "(1 + alpha)", "no probabilities yet"),
        ("return kappa * (", "return 0.5 * kappa * (", "half of it"),
        (
            "kappa * (size ** (1 + alpha) - kappa ** (1 + alpha)) / ((1 + alpha) * mean_priority)",
            "kappa * error * size ** (alpha - 1) / mean_priority",
            "that is the derivative",
        ),
        ("(size**alpha)", "(size ** (2 * alpha))", "it is α / 2"),
        ("(size**alpha)", "(np.maximum(np.abs(error), kappa) ** alpha)", "the priorities are LAP's"),
        ("(size**alpha)", "(np.abs(error) ** alpha)", "those of |δ| alone"),
        ("- kappa ** (1 + alpha)", "- kappa ** ((1 + alpha) / 2)", "put in δ = 0"),
        ("- kappa ** (1 + alpha)", "- kappa", "which power of κ"),
        ("mean_priority)", "mean_priority * len(error) ** 2)", "divided by N twice"),
        ("return kappa", "return len(error) * kappa", "as a factor"),
        ("mean_priority)", "size**alpha)", "own priority: it is"),
        (".mean()", ".max()", "by the largest priority"),
        (
            "(size ** (1 + alpha) - kappa ** (1 + alpha))",
            "(size ** (2 + 2 * alpha) - kappa ** (2 + 2 * alpha)) / 2",
            "twice too large",
        ),
    ],
    "embedded-error": [
        ('embed("target_encoder"', 'embed("fixed_encoder"', "the older one"),
        ('embed("fixed_encoder"', 'embed("encoder"', "moves at every update"),
        ('embed("target_encoder", batch["next_obs"])', 'embed("target_encoder", batch["obs"])', "the embedding of s"),
        ("raw / np.abs(raw).mean(axis=-1, keepdims=True)", "raw", "AvgL1Norm is missing"),
        (".mean(axis=-1, keepdims=True)", ".mean()", "each state's own"),
        (
            "np.abs(raw).mean(axis=-1, keepdims=True)",
            "np.linalg.norm(raw, axis=-1, keepdims=True)",
            "the Euclidean norm",
        ),
        ("np.min(follows, axis=0)", "np.mean(follows, axis=0)", "the mean of the critics"),
        ('gamma * ~batch["terminated"]', "gamma", "bootstraps past the end"),
        (
            'nets["target_actor"](batch["next_obs"], next_z) + noise, -1, 1',
            'nets["target_actor"](batch["next_obs"], next_z) + noise, -9, 9',
            "leaves [−1, 1]",
        ),
        ('nets["target_critics"]', 'nets["critics"]', "asks the critics that learn"),
        ('(batch["next_obs"], next_z) + noise', '(batch["next_obs"], z) + noise', "sees the embedding of s"),
        (
            '(batch["next_obs"], next_z) + noise',
            '(batch["next_obs"], embed("fixed_encoder", batch["next_obs"])) + noise',
            "sees the fixed embedding",
        ),
        (" + noise, -1, 1", ", -1, 1", "the noise is missing"),
        ("np.min(follows, axis=0)", "np.max(follows, axis=0)", "the larger of the critics"),
        (
            'batch["reward"] + gamma * ~batch["terminated"] * np.min(follows, axis=0)',
            '~batch["terminated"] * (batch["reward"] + gamma * np.min(follows, axis=0))',
            "took the reward away",
        ),
        ('critic(batch["next_obs"], smoothed', 'critic(batch["next_obs"], batch["action"]', "has the data's action"),
        ("np.abs(raw).mean(axis=-1, keepdims=True)", "np.abs(raw).sum(axis=-1, keepdims=True)", "the sum of the sizes"),
        ("np.abs(raw).mean(axis=-1, keepdims=True)", "np.abs(raw).mean(axis=0)", "of each number over the batch"),
        ("np.abs(raw).mean(axis=-1, keepdims=True)", "np.abs(raw).max(axis=-1, keepdims=True)", "the largest size"),
        ("return raw /", "return np.abs(raw) /", "lost its signs"),
        ('embed("fixed_encoder"', 'embed("target_encoder"', "the critics see the target encoder"),
        ('embed("target_encoder"', 'embed("encoder"', "the target sees the learning encoder"),
        (
            'embed("fixed_encoder", batch["obs"])',
            'embed("fixed_encoder", batch["next_obs"])',
            "the critics got the embedding of s′",
        ),
        ('critic(batch["next_obs"], smoothed', 'critic(batch["obs"], smoothed', "the target critics got s:"),
        ('nets["target_actor"](batch["next_obs"]', 'nets["target_actor"](batch["obs"]', "the target actor acts in s:"),
        ("smoothed, next_z)", "smoothed, z)", "the target critics see the embedding of s:"),
        ("np.min(follows, axis=0)", "follows[0]", "the first target critic alone"),
        ("np.min(follows, axis=0)", "follows[1]", "the second target critic alone"),
        (
            '    y = batch["reward"] + gamma * ~batch["terminated"] * np.min(follows, axis=0)\n    return [y - critic(batch["obs"], batch["action"], z) for critic in nets["critics"]]',
            '    y = batch["reward"] + gamma * ~batch["terminated"] * np.array(follows)\n    return [each - critic(batch["obs"], batch["action"], z) for each, critic in zip(y, nets["critics"])]',
            "a target of its own",
        ),
        ("np.min(follows, axis=0)", "np.min(follows)", "of the whole batch: each transition"),
        ('~batch["terminated"]', 'batch["terminated"]', "the mask is the wrong way round"),
        ("gamma * ~", "1 * ~", "γ is missing"),
        (
            'critic(batch["obs"], batch["action"], z)',
            'critic(batch["obs"], smoothed, z)',
            "taken at the policy's action",
        ),
        (
            'critic(batch["obs"], batch["action"], z) for critic in nets["critics"]',
            'critic(batch["obs"], batch["action"], z) for critic in nets["target_critics"]',
            "those of the target critics",
        ),
        (" + noise", " - noise", "the noise is subtracted"),
        (
            'return [y - critic(batch["obs"], batch["action"], z) for',
            'return [np.abs(y - critic(batch["obs"], batch["action"], z)) for',
            "δ has a sign",
        ),
    ],
    "assessment": [
        ("np.sort(episodes)[rank - 1]", "episodes.min()", "the bar is the minimum"),
        ("np.sort(episodes)[rank - 1]", "np.sort(episodes)[rank]", "k counts from 1"),
        ("np.sort(episodes)[rank - 1]", "episodes.mean()", "the bar is the mean"),
        ("np.sort(episodes)[rank - 1]", "max(bar, np.sort(episodes)[-rank])", "from the top"),
        ("episodes < bar", "episodes <= bar", "equality is enough"),
        ("int((failed < rank).sum()) + 1", "len(episodes)", "never ends early"),
        ("int((failed < rank).sum()) + 1", "int((failed < rank).sum())", "the episode that decided"),
        (
            "failed[-1] >= rank:\n            spent.append(int((failed < rank).sum()) + 1)",
            "failed[-1] >= 1:\n            spent.append(int((failed < 1).sum()) + 1)",
            "bad episodes are forgiven",
        ),
        (
            "            spent.append(len(episodes))",
            "            passed = np.arange(1, 1 + len(episodes)) - failed\n            spent.append(int((passed <= len(episodes) - rank).sum()) + 1 if number else len(episodes))",
            "runs all n",
        ),
        ("in enumerate(returns)", "in enumerate(returns, 1)", "the first one is number 0"),
        (
            "failed[-1] >= rank:\n            spent.append(int((failed < rank)",
            "failed[-1] > rank:\n            spent.append(int((failed <= rank)",
            "the k-th below the bar decides",
        ),
        (
            "failed[-1] >= rank:\n            spent.append(int((failed < rank).sum()) + 1)",
            "failed[-1] >= rank or np.sort(episodes)[rank - 1] <= bar:\n            spent.append(min(int((failed < rank).sum()) + 1, len(episodes)))",
            "also one that only equals",
        ),
        ("checkpoint, bar = number,", "checkpoint, bar = 0,", "stays the first policy"),
        ("np.sort(episodes)[rank - 1]", "np.sort(returns[0])[rank - 1]", "the bar stays that of the first"),
        ("np.sort(episodes)", "episodes", "in the order of the episodes"),
        ("np.sort(episodes)[rank - 1]", "np.quantile(episodes, rank / len(episodes))", "a quantile between two"),
        ("return checkpoint, bar, spent", "return checkpoint, bar, sum(spent)", "the sum of the episodes"),
        ("return checkpoint, bar, spent", "return checkpoint, bar, spent[1:]", "not in the list"),
    ],
    "clip-and-copy": [
        (
            "min(seen[0], y.min()), max(seen[1], y.max())",
            "min(seen[0], r.min()), max(seen[1], r.max())",
            "the extremes of the rewards",
        ),
        ("gamma * (1 - ended)", "gamma", "bootstraps past the end"),
        ("(0.0, 0.0), (np.inf, -np.inf)", "(-np.inf, np.inf), (np.inf, -np.inf)", "begin at 0 and 0"),
        ("update % every == 0", "update % 1 == 0", "take effect at once"),
        (
            "min(seen[0], y.min()), max(seen[1], y.max())",
            "min(seen[0], twins.min(axis=0).min()), max(seen[1], twins.min(axis=0).max())",
            "the extremes of Q",
        ),
        ("update % every == 0", "update % every == 1", "copied after every"),
        ("            bounds = seen", "            bounds, seen = seen, (np.inf, -np.inf)", "forgotten at each copy"),
        ("np.clip(twins.min(axis=0), *bounds)", "np.clip(twins.mean(axis=0), *bounds)", "the mean of the twins"),
        ("            bounds = seen", "            pass", "stay at 0"),
        ("np.abs(q).mean()", "q.mean()", "away from the data"),
        ("np.abs(q).mean()", "abs(q.mean())", "the mean of |Q|"),
        ("np.abs(q).mean()", "np.abs(q.mean(axis=0)).mean()", "averaged over both critics"),
        ("(0.0, 0.0), (np.inf, -np.inf)", "(0.0, 0.0), (0.0, 0.0)", "the extremes begin at 0"),
        ("slope.mean(axis=0)", "slope[0]", "climbs both critics"),
        (
            "slope.mean(axis=0)",
            "(slope * (1 - copying * np.square(action - data_action).mean() * np.sign(q)[..., None])).mean(axis=0)",
            "goes through |Q| as well",
        ),
        ("pull * 2 *", "pull *", "the 2 of the square"),
        ("pull * 2 * (action - data_action)", "pull * 2 * (data_action - action)", "a loss goes down"),
        ("/ len(action) + pull", "+ pull", "summed over the batch or the critics"),
        ("pull = copying * ", "pull = ", "λ is missing"),
        ("/ action.size", "/ len(action)", "not averaged over the components"),
        ("return -slope", "return slope", "the slope has the wrong sign"),
        (
            "y = r + gamma * (1 - ended) * np.clip(twins.min(axis=0), *bounds)",
            "y = r + gamma * np.clip((1 - ended) * twins.min(axis=0), *bounds)",
            "the mask is within the clip",
        ),
        ("twins.min(axis=0), *", "twins[0], *", "the first critic alone:"),
        ("twins.min(axis=0), *", "twins.max(axis=0), *", "the larger critic:"),
        (
            "y = r + gamma * (1 - ended) * np.clip(twins.min(axis=0), *bounds)",
            "y = np.clip(r + gamma * (1 - ended) * twins.min(axis=0), *bounds)",
            "the whole target is clipped",
        ),
        (
            "y = r + gamma * (1 - ended) * np.clip(twins.min(axis=0), *bounds)",
            "y = r + gamma * (1 - ended) * twins.min(axis=0)",
            "nothing is clipped",
        ),
        ("gamma * (1", "1 * (1", "γ is missing"),
        (
            "min(seen[0], y.min()), max(seen[1], y.max())",
            "min(seen[0], twins.min()), max(seen[1], twins.max())",
            "the extremes of both Q′",
        ),
        (
            "min(seen[0], y.min()), max(seen[1], y.max())",
            "min(seen[0], (r + gamma * (1 - ended) * twins.min(axis=0)).min()), max(seen[1], (r + gamma * (1 - ended) * twins.min(axis=0)).max())",
            "as they would be without clipping",
        ),
        (
            "        seen = min(seen[0], y.min()), max(seen[1], y.max())\n        if update % every == 0:\n            bounds = seen\n",
            "        if update % every == 0:\n            bounds = seen\n        seen = min(seen[0], y.min()), max(seen[1], y.max())\n",
            "the copy comes before",
        ),
        ("min(seen[0], y.min()), max(seen[1], y.max())", "y.min(), y.max()", "only the last update is tracked"),
        (
            "        seen = min(seen[0], y.min()), max(seen[1], y.max())\n        if update % every == 0:",
            "        seen = min(seen[0], twins.min()), max(seen[1], twins.max())\n        if True:",
            "two slips are left: what is tracked",
        ),
        (
            "bounds, seen, targets = (0.0, 0.0), (np.inf, -np.inf), []\n    for update, (r, ended, twins) in enumerate(zip(reward, terminated, next_q, strict=True), 1):\n        y = r + gamma * (1 - ended) * np.clip(twins.min(axis=0), *bounds)\n        seen = min(seen[0], y.min()), max(seen[1], y.max())\n        if update % every == 0:",
            "bounds, seen, targets = (-np.inf, np.inf), (np.inf, -np.inf), []\n    for update, (r, ended, twins) in enumerate(zip(reward, terminated, next_q, strict=True), 1):\n        y = r + gamma * (1 - ended) * np.clip(twins.min(axis=0), *bounds)\n        seen = min(seen[0], y.min()), max(seen[1], y.max())\n        if True:",
            "with which bounds it begins, and",
        ),
        ("np.abs(q).mean()", "np.abs(q[0]).mean()", "the size is that of the first"),
        ("np.abs(q).mean()", "np.abs(q.min(axis=0)).mean()", "the size is that of the smaller"),
        ("np.abs(q).mean()", "np.abs(q).mean(axis=0)[:, None]", "each state has its own |Q|"),
        ("slope.mean(axis=0)", "np.where((q[0] < q[1])[:, None], *slope)", "the slope of the smaller critic"),
        ("/ len(action) +", "/ action.size +", "one number for each state"),
        (" / action.size", "", "the square is summed"),
        ("2 * (action - data_action)", "(action - data_action) ** 2", "the square itself"),
        (
            "-slope.mean(axis=0) / len(action) + pull * 2 *",
            "-copying**2 / pull * slope.mean(axis=0) / len(action) + 2 *",
            "TD3+BC",
        ),
        (
            "np.abs(q).mean()\n    return -slope.mean(axis=0)",
            "q.mean()\n    return -(slope * (1 - copying * np.square(action - data_action).mean())).mean(axis=0)",
            "two slips are left: |Q|",
        ),
        (
            "np.abs(q).mean()\n    return -slope.mean(axis=0)",
            "q.mean()\n    return -slope[0]",
            "which critics are climbed",
        ),
        (" / action.size", " / action.shape[1]", "not averaged over the batch"),
        (
            "pull * 2 * (action - data_action) / action.size",
            "pull * (action - data_action) / len(action)",
            "its 2 is missing: divide",
        ),
    ],
    "diagnosis": [
        ('["A"] = "priorities never updated"', '["A"] = "healthy"', ""),
        ('["B"] = "no stop-gradient in the encoder\'s loss"', '["B"] = "healthy"', ""),
        ('["C"] = "bounds of the target never updated"', '["C"] = "bootstraps past the end"', ""),
        ('["D"] = "checkpoint never taken"', '["D"] = "the actor goes down the critics"', ""),
    ],
}

# Small changes that no hidden check can tell from the solution, and why.
EQUIVALENT = {
    "embedded-error": {
        "smoothed = np.clip(-1, nets['target_actor'](batch['next_obs'], next_z) + noise, 1)": "NumPy takes the larger of the first two",
    },
    "assessment": {
        "checkpoint, bar, spent = (1, -np.inf, [])": "the first policy always becomes the checkpoint",
        "checkpoint, bar, spent = (-1, -np.inf, [])": "the first policy always becomes the checkpoint",
    },
    "clip-and-copy": {
        "bounds, seen, targets = ((0.5, 0.0), (np.inf, -np.inf), [])": "np.clip between crossed bounds gives the upper one",
        "for update, (r, ended, twins) in enumerate(zip(reward, terminated, next_q), 1):": "the lengths are equal",
        "for update, (r, ended, twins) in enumerate(zip(reward, terminated, next_q, strict=False), 1):": "the lengths are equal",
    },
}
