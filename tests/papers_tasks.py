"""Records single steps of the robots as TD7's authors had them: `assets/recordings/papers_tasks.npz`.

It runs on the versions that their code names, not on this course's, so it imports nothing of the course:

    pip install --target old --no-deps gym==0.25.0 gym_notices cloudpickle numpy==1.26.4 mujoco==2.3.3
    PYTHONPATH=old python -W ignore tests/papers_tasks.py assets/recordings/papers_tasks.npz

`findings.td7.tasks` makes the same steps in our tasks and says what differs.
"""

import sys
from typing import Any

import gym
import numpy as np

STATES, EPISODE, FASTEST = 200, 20, 10.0  # states of each robot, steps of an episode, m/s forwards at its start
ROBOTS = "HalfCheetah", "Hopper", "Walker2d", "Ant", "Humanoid"


def steps(robot: str) -> dict[str, np.ndarray]:
    """What random actions do: a state (positions, velocities), the action, and what follows.

    A step has to depend on what is recorded alone. So the state is set before each one, which renews what is derived
    from it, and the solver of contacts starts afresh.
    """
    task, random = gym.make(f"{robot}-v4").unwrapped, np.random.default_rng(0)
    told: dict[str, list[object]] = {name: [] for name in ("state", "action", "next_state", "reward", "terminated")}
    over, length = True, 0
    while len(told["state"]) < STATES:
        if over or length == EPISODE:
            task.reset(seed=int(random.integers(2**31)))
            task.data.qvel[0] = random.uniform(0, FASTEST)
            length = 0
        positions, velocities = task.data.qpos.copy(), task.data.qvel.copy()
        action = random.uniform(task.action_space.low, task.action_space.high)
        task.set_state(positions, velocities)
        task.data.qacc_warmstart[:] = 0
        obs, reward, over, *_ = task.step(action)
        length += 1
        before, after = np.concatenate([positions, velocities]), np.concatenate([task.data.qpos, task.data.qvel])
        for values, value in zip(told.values(), (before, action, after, reward, over), strict=True):
            values.append(value)
    return {f"{robot}/{name}": np.array(values) for name, values in told.items()} | {f"{robot}/obs": np.array(len(obs))}


if __name__ == "__main__":
    arrays: Any = {name: value for robot in ROBOTS for name, value in steps(robot).items()}
    np.savez_compressed(sys.argv[1], **arrays)
