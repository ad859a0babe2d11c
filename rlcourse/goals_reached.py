"""Who still arrives when a goal is blocked after learning? Lecture 7's trained agents, in `multi_goal.MultiGoal`.

`python -m rlcourse.goals_reached` makes `assets/recordings/goals_reached.json`, from the agents of the curves `CURVES`.
Those that the cache of `rlcourse train` does not hold (or the folder that is named after the command, its `--out`) are
trained anew. Each then walks `EPISODES` times through the room as it is, and `EPISODES` times with a wall before the
goal that it reached most often. It goes on exploring as in training, TD3 with its noise, and learns nothing any more.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from platformdirs import user_cache_path

from rlcourse import checkpoints, curves, envs, files, loop, runs
from rlcourse.multi_goal import MultiGoal

PATH = Path(__file__).parents[1] / "assets" / "recordings" / "goals_reached.json"
CURVES = {
    "TD3": "07_goals_td3",
    "SAC": "07_goals_sac",
    "mixture SAC": "07_goals_mixture_sac",
    "soft Q-learning": "07_goals_soft_q_learning",
}
ENV, EPISODES = "rlcourse/MultiGoal-v0", 200


@dataclass(frozen=True)
class Arrivals:
    """How many of `EPISODES` reached each goal, a row for each seed: the others reached none.

    Attributes:
        open: with no goal blocked, in the order of `MultiGoal.NAMES`.
        walled: with a wall before the goal that is reached most in `open`.
    """

    open: Int[np.ndarray, "N 4"]
    walled: Int[np.ndarray, "N 4"]

    @property
    def shares(self) -> Float[np.ndarray, "2 N"]:
        """Of the episodes that reached any goal, without the wall and with it."""
        return np.stack([self.open, self.walled]).sum(-1) / EPISODES

    @property
    def used(self) -> Int[np.ndarray, " N"]:
        """How many goals at least one in twenty episodes reaches, without the wall."""
        return (self.open >= EPISODES / 20).sum(-1)


def walks(agent: loop.Agent, blocked: int | None = None) -> Int[np.ndarray, " 4"]:
    """How many of `EPISODES` end in each goal. The agent explores and learns nothing."""
    env, arrived = envs.make(ENV, blocked=blocked), np.zeros(4, int)
    for _ in range(EPISODES):
        obs, _ = env.reset()
        terminated = truncated = False
        while not (terminated or truncated):
            obs, _, terminated, truncated, _ = env.step(agent.act(obs))
        arrived[np.linalg.norm(MultiGoal.GOALS - obs, axis=-1).argmin()] += terminated
    return arrived


def load() -> dict[str, Arrivals]:
    """What is stored, for each of `CURVES`."""
    stored = files.read_json(PATH)["agents"]
    return {name: Arrivals(np.array(each["open"]), np.array(each["walled"])) for name, each in stored.items()}


def recorded(name: str, out: Path) -> dict[str, Any]:
    """The walks of all seeds of a recorded curve, and the hash of the code that trained them."""
    curve, experiment = files.read_json(curves.CURVES / f"{name}.json"), curves.recorded_experiment(name)
    found: dict[str, Any] = {"code": curve["code"], "seeds": curve["seeds"], "open": [], "walled": []}
    for seed in curve["seeds"]:
        runs.run(experiment, seed, out)
        env, agent = experiment.make_agent(seed)
        checkpoints.resume(experiment.files(out, seed)[1], env, agent)
        arrived = walks(agent)
        found["open"].append(arrived.tolist())
        found["walled"].append(walks(agent, int(arrived.argmax())).tolist())
    return found


def main() -> None:
    out = Path(sys.argv[1]) if sys.argv[1:] else user_cache_path("rlcourse") / "runs"
    agents = {name: recorded(curve, out) for name, curve in CURVES.items()}
    stored = {"command": "python -m rlcourse.goals_reached", "episodes": EPISODES, "agents": agents}
    files.write(PATH, json.dumps(stored) + "\n")


if __name__ == "__main__":
    main()
