"""Lecture 5: which details of PPO matter, how far few seeds can be trusted, and longer runs beside a paper."""

from IPython.display import Markdown

from rlcourse.curves import mean_band, reference
from rlcourse.findings import quoted
from rlcourse.findings.phrases import INTERVAL, finding, gains, interval, page, seeds, summed, table
from rlcourse.widgets import seed_lottery

DETAILS = {
    "no clip": "no_clip",
    "KL penalty instead": "penalty",
    "λ = 0": "lambda_0",
    "λ = 1": "lambda_1",
    "one epoch": "one_epoch",
    "entropy bonus": "entropy_bonus",
    "raw advantages": "raw_advantages",
    "raw observations": "raw_observations",
    "plain weights": "plain_weights",
    "no gradient limit": "no_gradient_limit",
}
UNSURE, SURE = "raw observations", "raw advantages"
TASKS = ("HalfCheetah", "Hopper", "Walker2d", "Ant", "Humanoid")
EVERY = 15_000  # steps between the evaluations that all of them have


def details() -> Markdown:
    default = reference("05_cartpole_default")
    estimates = {name: reference(f"05_cartpole_{file}").gain(default) for name, file in DETAILS.items()}
    by_size = dict(sorted(estimates.items(), key=lambda pair: pair[1].value))
    return finding(
        f"Compared with the default, {summed(by_size)}.",
        f"These numbers come from one easy task, six rollouts and {seeds(default)}; all other settings stayed the "
        "same. A detail that does nothing here may matter on a robot, and a detail that matters here may do nothing "
        "there.",
        gains(by_size, ("changed detail", "return gained over the default")),
        "You can take over the method: change one thing, run several seeds, look at the interval.",
    )


def lottery() -> Markdown:
    rows, certain = [], {}
    for rival in seed_lottery.RIVALS:
        shown = seed_lottery.compute(rival, 3, seed_lottery.SHOWN)
        wrong = (f"{100 * shown.wrong[count - 1]:.0f} %" for count in (3, 10))
        rows.append((rival, len(shown.every), interval(shown.truth), *wrong))
        certain[rival] = shares(rival, 3)
    missed = 100 * max(miss for _, miss in certain.values())
    return finding(
        "Which setting wins with three seeds is often chance, but their interval seldom misses what all seeds say.",
        f"Three seeds give wide intervals, and so these seldom say who wins: {100 * certain[UNSURE][0]:.0f} % of the "
        f"draws are resolved against {UNSURE}, and {100 * certain[SURE][0]:.0f} % against {SURE}.",
        table(
            (
                "default against",
                "seeds in all",
                f"gain of the default, all seeds ({INTERVAL})",
                "draws of 3 that err",
                "draws of 10 that err",
            ),
            rows,
        ),
        "A draw *errs* if its mean has another sign than that of all seeds together.",
        f"Of all draws of three, at most {missed:.0f} % have an interval that misses what all seeds say.",
        "How many seeds are enough depends on the difference and on the spread. So do not ask how many seeds a result "
        "has; ask for its interval. Student's interval is wider the fewer seeds there are.",
    )


def shares(rival: str, n: int) -> tuple[float, float]:
    """Of all draws of `n` seeds: the share that is resolved, and the share whose interval misses the mean of all."""
    base, other = seed_lottery.pair(rival)
    differences = base.gains(other)
    low, high = mean_band(differences[seed_lottery.draws(len(differences))[:, :n]].T)
    truth = differences.mean()
    return float(((low > 0) | (high < 0)).mean()), float(((low > truth) | (high < truth)).mean())


def longer() -> Markdown:
    paper = quoted.TD3_MAXIMA
    rows = []
    for task in TASKS:
        curve = reference(f"05_{task.lower()}_ppo")
        ends = curve.returns[:, curve.step % EVERY == 0]
        last = f"{ends[:, -1].mean():.0f} ({ends[:, -1].min():.0f} to {ends[:, -1].max():.0f})"
        printed = paper.cell(task, "PPO") if task in paper.rows else "not tried"
        rows.append((task, last, f"{ends.max(1).mean():.0f}", printed))
    return page(
        table(
            ("", "ours: at the end (range over seeds)", "ours: maximum over training", paper.source),
            rows,
        ),
        "All but HalfCheetah end an episode at a fall, and pay for each step without one: 1 point, Humanoid 5.",
        f"The paper's numbers are no target for us and no fair comparison. They are the *maximum* over training, after "
        f"{paper.steps} instead of 300 000, in an older version of the environments, by another implementation, over "
        f"{paper.trials} trials; the table prints no spread for PPO.",
    )
