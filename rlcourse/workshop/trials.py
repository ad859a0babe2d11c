"""What an assembled agent can do: the probes, a race into a recorded band, and several agents side by side."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import joblib
import numpy as np
import torch
from IPython.display import display

from rlcourse import curves, datasets, lessons, pictures, runs
from rlcourse.workshop import ladder, own
from rlcourse.workshop.parts import Mine, _name


def probe(mine: Mine | type[Any], continuous: bool | None = None) -> ladder.Ladder:
    """Train the agent in each of the ladder's small worlds, in seconds, and compare what it believes with the truth.

    Args:
        mine: an assembled page, or a class of one's own, see `workshop.own`.
        continuous: in worlds with a continuous action; None: only if the agent has no other.

    Raises:
        ValueError: the page has no agent that could be trained there.
    """
    if isinstance(mine, type):
        return own.probe(mine, continuous=bool(continuous))
    recipe = ladder.RECIPES.get(_name(mine.page), ladder.Recipe(""))
    return ladder.of_page(mine.module, not recipe.discrete if continuous is None else continuous)


@dataclass(frozen=True)
class Race:
    """A finished race: the trained agent, what was seen on the way, and where it lies among the recorded seeds."""

    agent: Any
    history: pictures.History
    comparison: curves.Comparison | None

    @property
    def passed(self) -> bool:
        """Whether, averaged over the curve, at least one recorded seed was not better."""
        return self.comparison is not None and self.comparison.among


def race(
    mine: Mine, reference: str, steps: int | None = None, seed: int = 0, dataset: datasets.Dataset | None = None
) -> Race:
    """Train as the recorded runs were trained, live, and draw the curve among theirs.

    The square button stops it; what was learned until then is compared.

    Args:
        reference: a recording's name, see `lessons.reference`.
        steps: environment steps, if not as many as were recorded.
        dataset: what to learn from, if the recorded runs learned from a dataset; then a step is an update.
    """
    experiment = _experiment(reference, steps)
    if lessons.only_tested():
        experiment = replace(experiment, steps=experiment.evaluate_every)
    training, agent, _ = _ready(experiment, _made_from(mine), seed, dataset)
    history = lessons.watch(training, experiment.steps)
    if not len(history.evaluations):
        print(f"○ Nothing to compare yet: the first evaluation comes after {experiment.evaluate_every} steps.")
        return Race(agent, history, None)
    display(lessons.compare_to_reference(history, reference))
    own = curves.Curve(history.evaluations[:, 0].astype(int), history.evaluations[None, :, 1])
    result = Race(agent, history, curves.compare_to_reference(own, curves.reference(reference)))
    whose = f"with {len(mine.yours)} parts of your own" if mine.yours else "all of it still the course's"
    if result.passed:
        print(f"✔ The agent, {whose}, runs with the recorded ones.")
    else:
        print(f"✘ The agent, {whose}, is worse than every recorded seed. Which rung of the ladder fails?")
    return result


def side_by_side(
    agents: Mapping[str, Mine],
    reference: str,
    steps: int,
    seeds: Sequence[int] = (0, 1),
    max_reward: float | None = None,
    dataset: datasets.Dataset | None = None,
) -> dict[str, curves.Curve]:
    """Train several agents, all seeds in parallel, and draw returns and, where there is a Q, what they believe.

    Stopped by hand it says so and returns nothing: agents that trained for different times cannot be compared.

    Args:
        reference: the recording whose world and settings are used.
        steps: environment steps of each run.
        max_reward: the most that one step pays, if not what the recording takes for its largest size.
        dataset: as for `race`.
    """
    experiment = _experiment(reference, steps)
    if lessons.only_tested():
        steps, every = (600, 300) if dataset is None else (100, 50)  # offline each step is an update
        experiment = replace(experiment, steps=steps, evaluate_every=every, episodes=1)
    jobs = [(name, seed) for name in agents for seed in seeds]
    n_jobs = 1 if lessons.only_tested() else min(joblib.cpu_count(), len(jobs))
    try:
        with joblib.parallel_config(backend="loky", n_jobs=n_jobs):
            found = joblib.Parallel()(
                joblib.delayed(_measured)(experiment, _made_from(agents[name]), seed, dataset) for name, seed in jobs
            )
    except KeyboardInterrupt:
        print(f"Stopped by hand: there is nothing to compare before all {len(jobs)} runs are over. Run it again.")
        return {}
    drawn, counted = {}, curves.Curve.unit if dataset is None else "update"
    for name in agents:
        seeds_of = [one for (each, _), one in zip(jobs, found, strict=True) if each == name]
        step, returns, believed = zip(*seeds_of, strict=True)
        values = None if believed[0] is None else np.array(believed)
        drawn[name] = curves.Curve(np.array(step[0]), np.array(returns), values, unit=counted)
    steps_of = next(iter(drawn.values())).step
    title = "return without exploration"
    display(lessons.curves({name: curve.returns for name, curve in drawn.items()}, steps_of, counted, title))
    beliefs = {name: curve.believed for name, curve in drawn.items() if curve.believed is not None}
    if beliefs:
        most = experiment.max_reward if max_reward is None else max_reward
        limit = most / (1 - experiment.config.gamma)
        title = f"what the critic believes; no discounted return is more than {limit:.0f}"
        display(lessons.curves(beliefs, steps_of, counted, title))
    return drawn


def _measured(
    experiment: runs.Experiment, made_from: Mapping[str, Any], seed: int, dataset: datasets.Dataset | None
) -> tuple[list[int], list[float], list[float] | None]:
    """One run: the steps of its evaluations, their mean returns, and the mean of what the critic believes."""
    torch.set_num_threads(1)
    training, agent, world = _ready(experiment, made_from, seed, dataset)
    measured = [
        (metrics["step"], float(metrics["evaluation"].mean()), _belief(world, agent))
        for metrics in training
        if "evaluation" in metrics
    ]
    step, returns, believed = (list(column) for column in zip(*measured, strict=True))
    return step, returns, None if believed[0] is None else believed


def _ready(
    experiment: runs.Experiment, made_from: Mapping[str, Any], seed: int, dataset: datasets.Dataset | None
) -> tuple[Iterator[dict[str, Any]], Any, gym.Env]:
    """A training that can begin, its fresh agent, and the world in which that is evaluated."""
    env, agent = experiment.make_agent(seed, **made_from, data=dataset)
    world = experiment.make_evaluation_env(dataset)
    return experiment.train(env, agent, world, seed), agent, world


def _belief(env: Any, agent: Any) -> float | None:
    """What the critic believes of its own greedy actions, on average over the first steps of an episode."""
    value = getattr(agent, "value", None)
    if value is None:
        return None
    obs, _ = env.reset(seed=0)
    believed = []
    for _ in range(20):
        action = agent.act(obs, explore=False)
        believed.append(float(value(obs, action)) if ladder.takes_action(value) else float(value(obs)))
        obs, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            break
    return float(np.mean(believed))


def _experiment(reference: str, steps: int | None) -> runs.Experiment:
    recorded = curves.recorded_experiment(reference)
    return replace(recorded, truths=0, steps=recorded.steps if steps is None else steps)


def _made_from(mine: Mine) -> dict[str, Any]:
    """What `Experiment.make_agent` is to use instead of the course's own."""
    return {"hindsight_replay" if _name(mine.page) == "her" else "kind": mine.agent}
