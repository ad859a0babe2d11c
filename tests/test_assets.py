"""What is recorded under `assets/` is what today's code does, the README there says how each file was made, and what
the lectures say of the recordings is what they hold."""

import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from scipy import stats
from torch.utils.flop_counter import FlopCounterMode

from rlcourse import envs, provenance, runs
from rlcourse.algorithms import td3, td7
from rlcourse.buffers import Transition
from rlcourse.curves import Curve, Estimate, load_curve, mean_estimate, recorded_experiment, reference
from rlcourse.operations.train import command_line
from rlcourse.widgets import embeddings, recordings, seed_lottery

ROOT = Path(__file__).parents[1]
ASSETS = ROOT / "assets"
CURVES = sorted((ASSETS / "curves").glob("*.json"))
VIDEOS = sorted((ASSETS / "videos").glob("*"))


def test_no_curve_is_older_than_its_code() -> None:
    assert CURVES
    assert provenance.stale(ASSETS / "curves") == {}


@pytest.mark.parametrize("path", CURVES, ids=lambda path: path.stem)
def test_every_curve_is_listed_with_its_command(path: Path) -> None:
    stored = json.loads(path.read_text())
    readme = (ASSETS / "README.md").read_text()
    assert stored["command"].count(path.name) == 1
    row = next(line for line in readme.splitlines() if line.startswith(f"| `curves/{path.name}` |"))
    assert f"`{stored['command']}`" in row
    assert f", {len(stored['seeds'])} seed" in row
    curve = load_curve(path)
    assert curve.returns.shape == (len(stored["seeds"]), len(curve.step))


@pytest.mark.parametrize("path", CURVES, ids=lambda path: path.stem)
def test_every_curve_tells_its_experiment(path: Path) -> None:
    command = json.loads(path.read_text())["command"]
    seeds = re.findall(r"--seeds (\S+)", command)[0]
    experiment = recorded_experiment(path.stem)
    again = command_line(experiment, seeds, Path("assets/curves") / path.name)
    truths = re.compile(r" --(truths|max-reward) \S+")  # measured beside the run, and not in the first recordings
    assert truths.sub("", again) == truths.sub("", command)


def test_there_are_films() -> None:
    assert VIDEOS


@pytest.mark.parametrize("path", VIDEOS, ids=lambda path: path.stem)
def test_every_film_is_listed_with_the_command_of_its_curve(path: Path) -> None:
    command = json.loads((ASSETS / "curves" / f"{path.stem}.json").read_text())["command"]
    row = next(
        row for row in (ASSETS / "README.md").read_text().splitlines() if row.startswith(f"| `videos/{path.name}`")
    )
    assert f"`{command} --film assets/videos/{path.name}`" in row


# --- what lecture 2 says; the sentences are built from the recordings, so that new ones bring new sentences


def prose(lecture: str) -> str:
    """All that a notebook's markdown says, on one line."""
    notebook = nbformat.read(ROOT / "notebooks" / f"{lecture}.ipynb", as_version=4)
    return " ".join(" ".join(cell.source.split()) for cell in notebook.cells if cell.cell_type == "markdown")


def test_lecture_2_on_the_parts_that_dqn_needs() -> None:
    text = prose("02_dqn")
    names = "cartpole_dqn", "no_target", "no_replay", "neither"
    full, no_target, no_replay, neither = (reference(f"02_{name}") for name in names)
    rates = [curve.success_rate(475) for curve in (full, no_target, no_replay, neither)]
    assert (rates[0].value, len(full.returns)) == (1, 20)
    assert "All 20 seeds with everything do" in text
    solved = [round(10 * rate.value) for rate in rates[1:]]
    assert (
        f"{solved[0]} of 10 succeed without a target network, {solved[1]} of 10 without replay, {solved[2]} of 10 with "
        "neither. The first two intervals overlap" in text
    )
    assert rates[1].high > rates[2].low
    assert "That each of them matters is (Fisher's exact test against the 20 seeds: p < 0.01)" in text
    for without in solved[:2]:
        assert stats.fisher_exact(np.array([[20, 0], [without, 10 - without]])).pvalue < 0.01

    halfway = no_replay.step.tolist().index(12_500)
    stood = no_replay.returns[:, halfway] >= 475
    lost = (stood & (no_replay.returns[:, -1] < 475)).sum()
    with_replay = (full.returns[:, halfway] >= 475).sum()
    assert (
        f"after 12 500 steps {stood.sum()} of 10 stood at 475 or more ({with_replay} of 20 with replay), and {lost} of "
        "them lost it again" in text
    )
    assert stood.mean() > with_replay / 20


def signed(estimate: Estimate) -> str:
    return f"{estimate.value:+.0f} ({estimate.low:+.0f} to {estimate.high:+.0f})"


def student(gains: np.ndarray) -> Estimate:
    """The mean in Student's interval, which is honest about few seeds: the bootstrap's is too narrow."""
    low, high = stats.t.interval(0.95, len(gains) - 1, gains.mean(), stats.sem(gains))
    return Estimate(float(gains.mean()), float(low), float(high))


def test_lecture_2_on_how_fast_targets_may_move() -> None:
    text = prose("02_dqn")
    curves = [reference(f"02_{name}") for name in ("target_soft", "one_step", "target_slow")]
    soft, plain, slow = (mean_estimate(curve.bias[:, -1]) for curve in curves)
    assert (
        f"At the end the soft target network leaves a bias of {signed(soft)}, a copy every 100 updates one of "
        f"{signed(plain)}, a copy every 500 one of {signed(slow)}: too *low*." in text
    )
    assert slow.high < 0 < min(soft.low, plain.low)
    assert max(curve.believed.max() for curve in curves if curve.believed is not None) > 100  # soft divergence
    assert sum(0.99**t for t in range(48)) == pytest.approx(38.3, abs=0.05)
    solved = [round(10 * curve.success_rate(475).value) for curve in curves]
    assert f"{solved[0]}, {solved[1]} and {solved[2]} of 10 succeed." in text


def test_lecture_2_on_overestimation_and_double() -> None:
    text = prose("02_dqn")
    plain, double, noisy, noisy_double = (
        reference(f"02_{name}") for name in ("one_step", "double", "noisy_plain", "noisy_double")
    )
    ends = [mean_estimate(curve.bias[:, -1]) for curve in (double, noisy, noisy_double)]
    change = mean_estimate(double.bias[:, -1] - plain.bias[:, -1])
    assert (
        f"With two actions it ends at {signed(ends[0])}, and {10 * double.success_rate(475).value:.0f} of 10 succeed. "
        f"Seed by seed the bias changes by {signed(change)}." in text
    )
    noisy_change = mean_estimate(noisy_double.bias[:, -1] - noisy.bias[:, -1])
    lower = (noisy_double.bias[:, -1] < noisy.bias[:, -1]).sum()
    assert (
        f"With 20 noisy actions plain ends at {signed(ends[1])}, Double at {signed(ends[2])}; seed by seed "
        f"{signed(noisy_change)}, and lower in {lower} of 5." in text
    )
    assert "All point the way that theory says; both intervals hold zero" in text
    assert max(change.value, noisy_change.value) < 0 < min(change.high, noisy_change.high)
    assert len(noisy.bias) == 5


def test_lecture_2_on_the_parts_of_rainbow() -> None:
    text = prose("02_dqn")
    files = {
        "Double": "double",
        "dueling": "dueling",
        "prioritised replay": "prioritized",
        "5-step targets": "five_step",
    }
    plain = reference("02_one_step")
    null: list[str] = []
    resolved: list[str] = []
    for name, file in files.items():
        curve = reference(f"02_{file}")
        gain = curve.gain(plain)
        seeds = len(curve.returns)
        solved = round(seeds * curve.success_rate(475).value)
        assert f"{name} {signed(gain)}, {solved} of {seeds} succeed in the end" in text
        (null if gain.low < 0 < gain.high else resolved).append(name)
    assert f"One-step DQN: {10 * plain.success_rate(475).value:.0f} of 10." in text
    assert (f"Resolved: {', '.join(resolved)}." if resolved else "None is resolved.") in text
    assert not null or f"Null results, as far as so few seeds can tell: {', '.join(null)}." in text


def test_lecture_2_on_dueling_with_redundant_actions() -> None:
    curves = {n: [reference(f"02_actions{n}_{net}") for net in ("dueling", "single")] for n in (10, 20, 40)}
    gains = {n: dueling.gain(single) for n, (dueling, single) in curves.items()}
    found = f"Dueling with 10, 20 and 40 actions: {', '.join(map(signed, gains.values()))}."
    assert [n for n, gain in gains.items() if not gain.low <= 0 <= gain.high] == [40]
    wide = {n: student(dueling.gains(single)) for n, (dueling, single) in curves.items()}
    assert all(estimate.low < 0 < estimate.high for estimate in wide.values())
    verdict = (
        f"With 40 the bootstrap excludes zero, Student's interval does not ({wide[40].low:+.0f} to "
        f"{wide[40].high:+.0f}): none is resolved by five seeds."
    )
    assert f"{found} {verdict}" in prose("02_dqn")
    assert all(len(reference(f"02_actions{n}_{net}").returns) == 5 for n in gains for net in ("single", "dueling"))


def test_lecture_5_on_the_details_that_matter() -> None:
    text = prose("05_ppo")
    files = {
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
    default = reference("05_cartpole_default")
    gains = {name: reference(f"05_cartpole_{file}").gain(default) for name, file in files.items()}

    def sentence(chosen: Callable[[Estimate], bool]) -> str:
        return ", ".join(f"{name} {signed(gain)}" for name, gain in gains.items() if chosen(gain)) + "."

    assert f"**Worse:** {sentence(lambda gain: gain.high < 0)}" in text
    assert f"**Not resolved by ten seeds:** {sentence(lambda gain: gain.low <= 0 <= gain.high)}" in text
    better = sentence(lambda gain: gain.low > 0)
    assert better == "." or f"**Better:** {better}" in text
    assert len(default.returns) == 10


def lottery_in_words() -> str:
    observations, advantages, residual = (
        seed_lottery.compute(rival, 3, seed_lottery.SHOWN) for rival in ("raw observations", "raw advantages", "λ = 0")
    )

    def wrong(data: seed_lottery.Lottery, n: int) -> str:
        return f"{100 * data.wrong[n - 1]:.0f} %"

    last = Estimate(observations.gains[-1], observations.low[-1], observations.high[-1])
    return (
        f"Against **raw observations** {wrong(observations, 3)} of the draws of three name another winner than all "
        f"thirty do, and of ten still {wrong(observations, 10)}. Thirty do not resolve it either: "
        f"{signed(observations.truth)}. Yet {observations.resolved.sum()} of the twenty draws look certain, the last "
        f"one by {signed(last)}, and not all of them of the same winner. Against **raw advantages** there is a "
        f"difference, {signed(advantages.truth)}; three seeds miss its sign in {wrong(advantages, 3)}, ten in "
        f"{wrong(advantages, 10)}. Against **λ = 0**, {signed(residual.truth)}, no three seeds err."
    )


def test_lecture_5_on_the_seed_lottery() -> None:
    assert lottery_in_words() in prose("05_ppo")
    assert (seed_lottery.compute("λ = 0", 3, 1).wrong == 0).all()
    unsure = seed_lottery.compute("raw observations", 3, seed_lottery.SHOWN)
    assert unsure.truth.low < 0 < unsure.truth.high
    assert np.ptp(np.sign(unsure.gains[unsure.resolved])) == 2


# --- what lecture 6 says

AGENTS = {"DDPG": "ddpg", "DDQN-AC": "ddqn_ac", "DQ-AC": "dq_ac", "TD3": "td3"}
PARTS = {
    "06_pendulum": {"one critic": "no_twin", "no delay": "no_delay", "no smoothing": "no_smoothing"},
    "06_double_pendulum": {"one critic": "no_twin", "no delay": "no_delay", "no smoothing": "no_smoothing"},
}


def fine(estimate: Estimate) -> str:
    return f"{estimate.value:+.1f} ({estimate.low:+.1f} to {estimate.high:+.1f})"


def by_sign(estimates: dict[str, Estimate], words: tuple[str, str, str]) -> str:
    """Which estimates lie above 0, below it, or hold it in their intervals, in sentences."""
    groups: dict[str, list[str]] = {word: [] for word in words}
    for name, estimate in estimates.items():
        groups[words[0] if estimate.low > 0 else words[1] if estimate.high < 0 else words[2]].append(name)
    return " ".join(f"{word}: {', '.join(names)}." for word, names in groups.items() if names)


SIGNS = ("Too high", "Too low", "Not resolved")


def pendulum_bias() -> str:
    curves = {name: reference(f"06_pendulum_{file}") for name, file in AGENTS.items()}
    ends = {name: mean_estimate(curve.bias[:, -1]) for name, curve in curves.items()}
    gap = mean_estimate(curves["DDPG"].bias[:, -1] - curves["TD3"].bias[:, -1])
    first = [curve.bias[:, 0].mean() for curve in curves.values()]
    truth = np.mean([curve.truth[:, -1].mean() for curve in curves.values() if curve.truth is not None])
    return (
        f"**Pendulum.** At the end, where the truth is {truth:.0f}: "
        f"{', '.join(f'{name} {fine(end)}' for name, end in ends.items())}. {by_sign(ends, SIGNS)} "
        f"Seed by seed DDPG is {fine(gap)} above TD3. (At first {min(first):+.0f} or more: an untrained critic's 0.)"
    )


def travel() -> tuple[float, float, float]:
    """TD3's belief at steps 20 000 and 36 000 of the seeds that stood all the while; and where it would then be if only
    the slow targets held it back, with 936 = 9.36/(1 − γ) as the end and 40 000 steps as the time constant."""
    curve = reference("06_double_pendulum_td3")
    first, last = (curve.step.tolist().index(step) for step in (20_000, 36_000))
    assert curve.believed is not None
    stood = curve.believed[(curve.returns[:, first : last + 1] >= 9_000).all(1)].mean(0)
    return stood[first], stood[last], 936 - (936 - stood[first]) * np.exp(-16_000 / 40_000)


def double_pendulum_bias() -> str:
    curves = {name: reference(f"06_double_pendulum_{file}") for name, file in AGENTS.items()}
    ends = {name: mean_estimate(curve.bias[:, -1]) for name, curve in curves.items()}
    lowest = {name: curve.bias.mean(0) for name, curve in curves.items()}
    lows = ", ".join(f"{name} {low.min():+.0f} at {curves[name].step[low.argmin()]:,}" for name, low in lowest.items())
    before, after, alone = travel()
    return (
        f"**InvertedDoublePendulum.** At the end: {', '.join(f'{name} {signed(end)}' for name, end in ends.items())}. "
        f"{by_sign(ends, SIGNS)} Lowest on the way: {lows} steps. One reason is delay: the policy is soon worth 927, "
        "but values travel through slow targets, time constant $1/(\\tau(1-\\gamma)) = 20\\,000$ updates, twice that "
        f"in TD3. That alone would lift the belief of TD3's standing seeds from {before:.0f} to {alone:.0f} between "
        f"20 000 and 36 000 steps; it rose to {after:.0f}, so something else pulls down, too."
    )


def parts() -> str:
    sentences = []
    for task, prefix in (("Pendulum", "06_pendulum"), ("InvertedDoublePendulum", "06_double_pendulum")):
        whole = reference(f"{prefix}_td3")
        curves = {name: reference(f"{prefix}_{file}") for name, file in PARTS[prefix].items()}
        gains = {name: curve.gain(whole) for name, curve in curves.items()}
        ends = {name: mean_estimate(curve.bias[:, -1] - whole.bias[:, -1]) for name, curve in curves.items()}
        words = "Better without", "Worse without", "Not resolved"
        sentences.append(
            f"**{task}.** Return gained: {', '.join(f'{name} {signed(gain)}' for name, gain in gains.items())}. "
            f"{by_sign(gains, words)} Bias at the end less TD3's: "
            f"{', '.join(f'{name} {signed(end)}' for name, end in ends.items())}. "
            f"{by_sign(ends, ('Higher', 'Lower', 'Not resolved'))}"
        )
    return "\n\n".join(sentences)


def noises() -> str:
    curve, base = reference("06_pendulum_ou"), reference("06_pendulum_ddpg")
    gain, wide = curve.gain(base), student(curve.gains(base))
    verdict = by_sign({"": wide}, ("better", "worse", "not resolved")).split(":")[0]
    config = json.loads((ASSETS / "curves" / "06_pendulum_ou.json").read_text())["config"]
    long_run = config["exploration_noise"] / np.sqrt(1 - (1 - config["reversion"]) ** 2)
    return (
        f"over five seeds OU gains {signed(gain)} of return here, by Student's interval {wide.low:+.0f} to "
        f"{wide.high:+.0f}: {verdict}. (In the long run its σ is {long_run:.2f}, the Gaussian's 0.1: memory *and* size "
        "differ.)"
    )


def pendulum_successes() -> str:
    rate = reference("06_pendulum_td3").success_rate(-200)
    return f"Of the five recorded seeds {5 * rate.value:.0f} do that in their last evaluation."


def double_pendulum_successes() -> str:
    curve = reference("06_double_pendulum_td3")
    live = curve.returns[:, curve.step.tolist().index(20_000)] >= 9_000
    end = 5 * curve.success_rate(9_000).value
    return (
        f"After 20 000 steps {live.sum()} of the five recorded seeds stand at 9000 or more, after 40 000 {end:.0f} do, "
        "not the same ones: what is learned can still be lost."
    )


def runners(*lecture_and_agent: tuple[str, str]) -> str:
    """Where agents of default size end on two robots: means, and the lowest and highest seed."""
    sentences = []
    for task in ("HalfCheetah", "Hopper"):
        ours = []
        for lecture, agent in lecture_and_agent:
            ends = reference(f"{lecture}_{task.lower()}_{agent.lower()}").returns[:, -1]
            spread = "one seed" if len(ends) == 1 else f"{len(ends)} seeds, {ends.min():.0f} to {ends.max():.0f}"
            ours.append(f"{agent} {ends.mean():.0f} ({spread})")
        sentences.append(f"on {task} {', '.join(ours)}")
    return f"{'; '.join(sentences)}."


def test_lecture_6_on_the_bias_of_four_agents() -> None:
    text = prose("06_ddpg_td3")
    assert pendulum_bias() in text
    assert double_pendulum_bias() in text
    for prefix in ("06_pendulum", "06_double_pendulum"):
        assert {len(reference(f"{prefix}_{file}").bias) for file in AGENTS.values()} == {5}
    before, after, alone = travel()
    assert before < after < alone  # "something else pulls down, too"
    one, whole = (reference(f"06_double_pendulum_{file}").bias[:, -1] for file in ("no_twin", "td3"))
    change = mean_estimate(one - whole)
    assert change.low < 0 < change.high  # "one critic below does not show what"
    for file in AGENTS.values():  # that each is far too low on the way, with a policy that is soon perfect
        curve = reference(f"06_double_pendulum_{file}")
        assert curve.bias.mean(0).min() < -200
        assert curve.truth is not None
        assert curve.truth.max() == pytest.approx(927, abs=2)


def test_lecture_6_on_the_parts_of_td3_and_on_noise() -> None:
    text = prose("06_ddpg_td3")
    for sentence in parts().split("\n\n"):
        assert sentence in text
    assert noises() in text


def test_lecture_6_on_thresholds_and_runners() -> None:
    text = prose("06_ddpg_td3")
    assert pendulum_successes() in text
    assert double_pendulum_successes() in text
    assert f"At the end: {runners(('06', 'TD3'), ('06', 'DDPG'))}" in text
    curve = reference("06_double_pendulum_td3")
    for at_least, reached in (
        (-200, reference("06_pendulum_td3").returns[:, -1]),
        (9_000, curve.returns[:, curve.step.tolist().index(20_000)]),
    ):
        assert (reached >= at_least).sum() >= 4
    solved = curve.returns >= 9_000
    assert (solved[:, curve.step.tolist().index(20_000)] & ~solved[:, -1]).any()  # "what is learned can still be lost"


# --- what lecture 7 says


def test_lecture_7_on_temperature_and_the_original() -> None:
    text = prose("07_sac")
    files = {
        "original, with V": "07_pendulum_original",
        "α = 0.2": "07_pendulum_fixed",
        "α = 0.001": "07_pendulum_cold",
        "TD3": "06_pendulum_td3",
    }
    learned = reference("07_pendulum_sac")
    others = {name: reference(file) for name, file in files.items()}
    assert {len(curve.returns) for curve in (learned, *others.values())} == {5}
    gains = {name: curve.gain(learned) for name, curve in others.items()}
    verdicts: dict[str, Callable[[Estimate], bool]] = {
        "Better than SAC:": lambda gain: gain.low > 0,
        "Worse:": lambda gain: gain.high < 0,
        "Not resolved by five seeds:": lambda gain: gain.low <= 0 <= gain.high,
    }
    for verdict, chosen in verdicts.items():
        some = ", ".join(f"{name} {signed(gain)}" for name, gain in gains.items() if chosen(gain))
        assert f"**{verdict}** {some}." in text if some else f"**{verdict}**" not in text
    solved = {name: (curve.returns[:, -1] >= -200).sum() for name, curve in {"learned": learned, **others}.items()}
    assert ", ".join(f"{name} {number} of 5" for name, number in solved.items()) in text
    assert solved["learned"] >= 4  # the threshold of the live run


def which_when(task: str) -> str:
    ppo, sac = reference(f"05_{task.lower()}_ppo"), reference(f"07_{task.lower()}_sac")
    seeds = f"{len(sac.returns)} seed{'' if len(sac.returns) == 1 else 's'}"
    beyond = sac.mean >= ppo.mean[-1]
    words = (
        f"**{task}.** PPO ends at {ppo.mean[-1]:.0f} after {ppo.step[-1]} steps and {ppo.seconds[-1]:.0f} seconds "
        f"(mean of {len(ppo.returns)} seeds), SAC ({seeds}) at {sac.mean[-1]:.0f} after {sac.step[-1]} and "
        f"{sac.seconds[-1]:.0f}. "
    )
    if not beyond.any():
        return f"{words}SAC is never beyond PPO's end."
    passed = int(beyond.argmax())
    return f"{words}SAC is first beyond PPO's end after {sac.step[passed]} steps and {sac.seconds[passed]:.0f} seconds."


def cost_of_a_step() -> str:
    sac, ppo = (1000 * curve.seconds[0] / curve.step[0] for curve in map(reference, ("07_hopper_sac", "05_hopper_ppo")))
    return f"On Hopper a step of SAC took {sac:.1f} ms and one of PPO {ppo:.2f}: a factor of {sac / ppo:.0f}."


def test_lecture_7_on_ppo_and_sac_by_steps_and_by_seconds() -> None:
    text = prose("07_sac")
    assert cost_of_a_step() in text
    assert which_when("HalfCheetah") in text
    assert which_when("Hopper") in text
    ppo, sac = reference("05_halfcheetah_ppo"), reference("07_halfcheetah_sac")
    assert f"our own recording is beyond 2347 after {sac.step[int((sac.mean > 2347).argmax())]} steps." in text
    passed = int((sac.mean >= ppo.mean[-1]).argmax())
    assert sac.step[passed] < ppo.step[-1]  # "sooner by steps, later by seconds"
    assert sac.seconds[passed] > ppo.seconds[-1]


# --- what lecture 8 says

BITS = {
    "With hindsight": {n: f"08_bits{n}_her" for n in (10, 15, 25)},
    "Without": {n: f"08_bits{n}_plain" for n in (5, 10, 15)},
}
STRATEGIES = {
    "final, k = 4": "08_bits15_final",
    "episode, k = 4": "08_bits15_episode",
    "random, k = 4": "08_bits15_random",
    "future, k = 1": "08_bits15_k1",
    "future, k = 8": "08_bits15_k8",
}
MAZE = {
    "hindsight": "08_maze_her",
    "the sparse reward alone": "08_maze_plain",
    "minus distance": "08_maze_dense",
}
LAST = 14  # the evaluation after 15 000 steps


def share(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.0f} % ({100 * estimate.low:.0f} to {100 * estimate.high:.0f})"


def points(estimate: Estimate) -> str:
    return f"{100 * estimate.value:+.0f} ({100 * estimate.low:+.0f} to {100 * estimate.high:+.0f})"


def seeds(*curves: Curve) -> str:
    numbers = sorted({len(curve.returns) for curve in curves})
    return f"{' to '.join(str(number) for number in dict.fromkeys((numbers[0], numbers[-1])))} seeds"


def bits() -> str:
    sentences, curves = [], []
    for how, files in BITS.items():
        curves += [reference(name) for name in files.values()]
        ends = [share(mean_estimate(curve.returns[:, LAST])) for curve in curves[-len(files) :]]
        sentences.append(f"**{how}:** {', '.join(f'n = {n} {end}' for n, end in zip(files, ends, strict=True))}.")
    return f"Success after 15 000 steps, {seeds(*curves)} each. {' '.join(sentences)}"


def bits_later() -> str:
    curve = reference("08_bits25_her")
    return (
        f"At n = 25 it is {share(mean_estimate(curve.returns[:, -1]))} after {curve.step[-1]} steps: 12 000 "
        "gradient steps, and at least a thousand episodes."
    )


def strategies() -> str:
    whole = reference("08_bits15_her")
    curves = {name: reference(file) for name, file in STRATEGIES.items()}
    length = min(len(curve.step) for curve in curves.values())
    future = Curve(whole.step[:length], whole.returns[:, :length])
    gains = {name: curve.gain(future) for name, curve in curves.items()}
    gained = ", ".join(f"{name} {points(gain)}" for name, gain in gains.items())
    verdicts = by_sign(gains, ("Better than future with k = 4", "Worse", "Not resolved"))
    return f"{seeds(future, *curves.values()).capitalize()}; percentage points gained: {gained}. {verdicts}"


def shaping() -> str:
    hindsight, dense = (reference(f"08_bits15_{file}") for file in ("her", "dense"))
    ends = [share(mean_estimate(curve.returns[:, -1])) for curve in (dense, hindsight)]
    return (
        f"**BitFlip, n = 15.** In the end minus the wrong bits succeeds in {ends[0]}, hindsight in {ends[1]}; over the "
        f"run shaping gains {points(dense.gain(hindsight))} percentage points."
    )


def maze() -> str:
    ends = {name: reference(file).returns[:, -1] for name, file in MAZE.items()}
    reached = ", ".join(f"{(end == 1).sum()} of {len(end)} seeds with {name}" for name, end in ends.items())
    return f"**The maze.** In the end the goal is reached by {reached}."


def reach() -> str:
    words = []
    for how, file in (("with hindsight", "her"), ("without", "plain")):
        curve = reference(f"08_reach_{file}")
        first = [
            str(curve.step[(seed >= 0.95).argmax()]) if (seed >= 0.95).any() else "never" for seed in curve.returns
        ]
        words.append(f"{how} at steps {', '.join(first)}")
    return f"The first evaluation of 95 % or more comes, seed by seed: {'; '.join(words)}."


ROBOTS = {
    "pushing": "08_push_her",
    "pushing, early": "08_push_early",
    "pushing without hindsight": "08_push_plain",
    "sliding": "08_slide_her",
    "picking and placing": "08_pick_her",
}


def robots() -> str:
    curves = {task: reference(file) for task, file in ROBOTS.items()}
    (step,) = {curve.step[-1] for curve in curves.values()}
    each = "; ".join(
        f"{task} {100 * end.mean():.0f} % ({100 * end.min():.0f} to {100 * end.max():.0f})"
        for task, end in ((task, curve.returns[:, -1]) for task, curve in curves.items())
    )
    return f"After {step} steps, {seeds(*curves.values())} each, mean (range): {each}."


def reaches(file: str) -> list[float]:
    """Where each seed's first evaluation of 90 % or more comes."""
    curve = reference(file)
    return [curve.step[one.argmax()] if one.any() else np.inf for one in curve.returns >= 0.9]


def pushing() -> str:
    late, early = (
        ", ".join("never" if step == np.inf else f"{step:.0f}" for step in reaches(file))
        for file in ("08_push_her", "08_push_early")
    )
    return (
        f"The first evaluation of 90 % comes at steps {late}; early: {early}. Later for each "
        "seed; how much, three do not say."
    )


def sliding() -> str:
    return f"*Sliding* has begun: at best {100 * reference('08_slide_her').returns.max():.0f} %."


def way_to_go(env: str, seeds: range) -> np.ndarray:
    """From where the block is at first to where it shall be, in decimetres, `(episodes, 3)`."""
    world = envs.make(env)
    goals = np.array([world.reset(seed=seed)[0][:6] for seed in seeds])  # they come first in an observation
    return goals[:, 3:] - goals[:, :3]


def picking() -> str:
    curve = json.loads((ASSETS / "curves" / "08_pick_her.json").read_text())
    first = runs.EVALUATION_SEED
    low = (way_to_go(curve["env"], range(first, first + curve["episodes"]))[:, 2] < 0.5).sum()
    best = np.max(curve["returns"])
    assert best <= low / curve["episodes"]
    return (
        f"in {low} of the {curve['episodes']} test episodes the mark is less than 5 cm above the table, and no "
        f"evaluation exceeds {100 * best:.0f} %. It pushes."
    )


def minutes() -> str:
    seconds = reference("08_push_her").wall_time
    assert seconds is not None
    return f"{seconds.max() / 60:.0f} minutes of a core"


def test_lecture_8_on_bits() -> None:
    text = prose("08_her")
    assert bits() in text
    ends = {how: [reference(name).returns[:, LAST] for name in files.values()] for how, files in BITS.items()}
    assert min(end.mean() for end in ends["With hindsight"]) >= 0.8
    assert reference("08_bits10_plain").returns[:, LAST].max() <= 0.1
    few, many = (reference(f"08_bits{n}_her") for n in (10, 25))
    first = [curve.step[(curve.mean >= 0.9).argmax()] for curve in (few, many)]
    assert f"the steps to a mean of 90 % go from {first[0]} to {first[1]}." in text
    assert bits_later() in text


def test_lecture_8_on_strategies() -> None:
    assert strategies() in prose("08_her")


def test_lecture_8_on_shaping() -> None:
    text = prose("08_her")
    assert maze() in text
    assert (reference("08_maze_dense").returns == 0).all()  # not once
    assert shaping() in text


def test_lecture_8_on_the_robot() -> None:
    text = prose("08_her")
    assert reach() in text
    hindsight, plain = (reference(f"08_reach_{file}") for file in ("her", "plain"))
    assert hindsight.gain(plain).low > 0  # "only slower"
    assert plain.returns[:, -1].min() > 0.5


def test_lecture_8_on_pushing_sliding_and_picking() -> None:
    text = prose("08_her")
    for sentence in (robots(), pushing(), picking(), sliding(), minutes()):
        assert sentence in text
    hindsight, early, plain, slide, pick = (reference(file) for file in ROBOTS.values())
    assert hindsight.returns[:, -1].min() >= 0.8
    assert plain.returns.max() <= 0.15  # no more than luck
    assert 0.1 < slide.returns.max() < pick.returns[:, -1].min()
    assert all(late < early_on for late, early_on in zip(reaches("08_push_her"), reaches("08_push_early"), strict=True))
    assert student(hindsight.gains(early)).low < 0 < hindsight.gains(early).min()


@pytest.mark.thorough
def test_lecture_8_on_luck_with_the_robot() -> None:
    near = [
        (np.linalg.norm(way_to_go(f"rlcourse/Fetch{task}-v4", range(400)), axis=1) < 0.5).sum()
        for task in ("Push", "Slide", "PickAndPlace")
    ]
    assert f"of 400 fresh episodes {near[0]}, {near[1]} and {near[2]} begin within 5 cm of the goal" in prose("08_her")


# --- what lecture 9 says; each function builds one paragraph from the recordings that there are

RUNGS = {
    "TD3": "td3",
    "appendix_changes": "appendix_changes",
    "LAP": "lap",
    "SALE": "sale",
    "clipped targets": "clip",
    "checkpoints": "td7",
}


def rungs() -> dict[str, Curve]:
    return {name: reference(f"09_ladder_{file}") for name, file in RUNGS.items()}


def ladder() -> str:
    gains = {up: rungs()[up].gain(rungs()[low]) for low, up in pairwise(RUNGS)}
    gains["all of it"] = rungs()["checkpoints"].gain(rungs()["TD3"])
    (seeds,) = {len(curve.returns) for curve in rungs().values()}
    each = ", ".join(f"{name} {signed(gain)}" for name, gain in gains.items())
    return (
        f"**The ladder.** Return gained over the rung below, {seeds} paired seeds: {each}. "
        f"{by_sign(gains, ('Up', 'Down', 'Not resolved'))}"
    )


def falls() -> str:
    drops = {name: -np.diff(rungs()[name].returns).min(1).clip(max=0) for name in ("clipped targets", "checkpoints")}
    change = mean_estimate(drops["checkpoints"] - drops["clipped targets"])
    last = (rungs()[name].returns[:, -1] for name in drops)
    ends = [f"{end.min():.0f} and {end.max():.0f}" for end in last]
    verdict = by_sign({"": change}, ("larger with", "smaller with", "not resolved")).split(":")[0]
    return (
        "**Single seeds.** The largest fall from one evaluation to the next is "
        f"{drops['clipped targets'].mean():.0f} without checkpoints and {drops['checkpoints'].mean():.0f} with, mean "
        f"of {len(drops['checkpoints'])} seeds; difference {signed(change)}: {verdict}. At the end they lie between "
        f"{ends[0]} without and {ends[1]} with."
    )


def run_time() -> str:
    seconds = {name: curve.wall_time.mean() for name, curve in rungs().items() if curve.wall_time is not None}
    times = ", ".join(f"{name} {value:.0f}" for name, value in seconds.items())
    return f"**Run time.** Seconds per seed, up to sixteen at once on as many cores: {times}."


def pendulum_td7() -> str:
    curves = {"TD3": reference("06_pendulum_td3"), "TD7": reference("09_pendulum_td7")}
    gain = curves["TD7"].gain(curves["TD3"])
    solved = ", ".join(f"{name} {(c.returns[:, -1] >= -200).sum()} of {len(c.returns)}" for name, c in curves.items())
    early = curves["TD7"].step.tolist().index(6_000)
    live = (curves["TD7"].returns[:, early] >= -200).sum()
    return (
        f"**TD7 on Pendulum.** Less TD3, averaged over the curve: {signed(gain)}. "
        f"{by_sign({'TD7': gain}, ('Better', 'Worse', 'Not resolved'))} In the last evaluation −200 or more: {solved}; "
        f"TD7 after 6000 steps {live} of {len(curves['TD7'].returns)}."
    )


def full_size() -> str:
    step = reference("09_halfcheetah_td7").step[-1]
    return f"**Our own.** After {step} steps: {runners(('06', 'TD3'), ('09', 'TD7'))}"


def standing() -> str:
    hopper = reference("09_hopper_td7")
    (returns,) = hopper.returns
    since = int((returns == returns[-1]).argmax())
    assert (returns[since:] == returns[-1]).all()
    assert 1000 < returns[-1] < 1020  # of an episode of 1000 steps, each of which pays 1 for not falling
    return (
        f"**Recorded.** On Hopper at full size the checkpoint stays the same from step {hopper.step[since]} on: it "
        "stands still, a point a step, and no later policy's episode beat that."
    )


def gpu() -> str:
    """From what `make bench` printed on a machine that has one, and on one that has not."""
    printed = [(ASSETS / "benchmarks" / f"{name}.txt").read_text() for name in ("td7_gpu", "off_policy")]
    single, _, graph = re.findall(r"│ +(\d+) +│", printed[0])
    _, core = re.findall(r"│ TD7 +│ (\d+) ", printed[1])  # two threads, one
    return f"one core of ours makes {core} a second, an H200 {single} one by one and {graph} as a CUDA graph"


def embedding_sentence() -> str:
    at_end = {
        name: embeddings.compute(quantity, embeddings.LAST).ratio
        for name, quantity in (("scale", "scale of what is seen"), ("effective rank", "effective rank"))
    }
    words = ", ".join(f"{name} {ratio}, {embeddings.verdict(ratio)}" for name, ratio in at_end.items())
    ranks = embeddings.compute("effective rank", embeddings.LAST).values[:, :, -1].mean(1)
    return (
        f"**Recorded**, {recordings.SEEDS} seeds, {recordings.MOMENTS[-1]} updates on HalfCheetah: without over with "
        f"AvgL1Norm, 95 % intervals: {words}. Mean rank {ranks[0]:.1f} with, {ranks[1]:.1f} without."
    )


def test_lecture_9_on_its_recordings() -> None:
    text = prose("09_td7")
    for paragraph in (
        ladder(),
        falls(),
        run_time(),
        pendulum_td7(),
        full_size(),
        standing(),
        gpu(),
        embedding_sentence(),
    ):
        assert paragraph in text


def test_lecture_9_on_its_stored_run_offline() -> None:
    text = prose("09_td7")
    assert (
        "In the stored run the clone is as good as its data; TD3 without copying ends below all, dreaming of actions "
        "that nobody tried; TD3+BC ends where the policy behind the data stands; TD7 is far above." in text
    )
    notebook = (ROOT / "notebooks" / "09_td7.ipynb").read_text()
    alt = re.search(r"return of 20 fresh episodes \(the data: 50\), with 95 % intervals\. ([^\"]*?)\.\"", notebook)
    assert alt
    ends = {
        name: Estimate(*map(float, numbers))
        for name, *numbers in re.findall(r"([^;:]+): (\S+) \((\S+) to ([^)]+)\)(?:; )?", alt[1])
    }
    behaviour, data, clone = (ends[name] for name in ("behaviour, no noise", "the data", "behaviour cloning"))
    assert clone.low < data.value < clone.high
    without = ends.pop("TD3, no copying")
    assert all(without.high < other.low for other in ends.values())
    copying = ends["TD3+BC, λ = 0.4"]
    assert copying.low < behaviour.value < copying.high
    assert ends["TD7, λ = 0.1"].low > max(end.high for name, end in ends.items() if name != "TD7, λ = 0.1")


def test_lecture_9_on_the_work_of_an_update() -> None:
    """Counted at full size on HalfCheetah: 17 observations, 6 actions; TD3's actor learns in every second update."""
    box, work = Box(-1.0, 1.0, (6,)), {}
    agents: dict[str, Any] = {
        "TD7": td7.TD7(17, box, td7.Config(buffer_size=25_000), seed=0),
        "TD3": td3.TD3(17, box, td3.Config(buffer_size=25_000), seed=0),
    }
    for name, agent in agents.items():
        rows = Transition(np.zeros(17), np.zeros(6), 0.0, np.zeros(17), False, False)
        for _ in range(256):
            agent.replay.add(rows)
        batch = agent.replay.gather(torch.arange(256))
        with FlopCounterMode(display=False) as counter:
            agent.update(batch)
            agent.update(batch)
        work[name] = counter.get_total_flops() / 2e9
    text = prose("09_td7")
    assert (
        f"An update of TD7 is {work['TD7']:.2f} billion floating-point operations, one of TD3 {work['TD3']:.2f}" in text
    )
