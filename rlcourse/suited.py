"""Which agent suits which world, by what is observed and what is done."""

from inspect import signature
from typing import Any

import gymnasium as gym
from gymnasium.spaces import Box, Discrete, MultiBinary

from rlcourse.algorithms import AGENTS, agent_class

_ON_POLICY = ("reinforce", "actor_critic", "ppo")
_SUITED = {  # all that is not here, no agent can do
    ("number", "choice"): ("q_learning",),
    ("vector", "choice"): ("dqn", "rainbow", *_ON_POLICY),
    ("vector", "numbers"): (
        *(*_ON_POLICY, "ddpg", "double_ac", "td3", "off_policy_ac"),
        *("sac", "mixture_sac", "soft_q_learning", "td7"),
    ),
}
_FROM_DATASETS = ("iql", "cql", "edac")  # they can do what TD3 can; to learn in a world is not what they are for


def arguments(agent: str, env: gym.Env) -> tuple[int, Any]:
    """What an agent's class must be told of a world that `envs.make` made: its first two arguments.

    These are the size of an observation (the number of states, where they are numbered), and the action space, or for
    a class that does not take one the number of actions or of numbers in an action.

    Raises:
        ValueError: the agent does not suit the world; names the spaces and who does, or what would help.
    """
    seen, done = env.observation_space, env.action_space
    vector = isinstance(seen, Box | MultiBinary) and len(seen.shape) == 1
    observed = "number" if isinstance(seen, Discrete) else "vector" if vector else ""
    numbers = isinstance(done, Box) and len(done.shape) == 1 and (done.low == -1).all() and (done.high == 1).all()
    acted = "choice" if isinstance(done, Discrete) else "numbers" if numbers else ""
    suited = _SUITED.get((observed, acted), ())
    able = (*suited, *_FROM_DATASETS) if "td3" in suited else suited
    if agent not in able and (agent in AGENTS or not suited):
        if suited:
            remedy = f"take {' or '.join(suited)}"
        elif acted:
            remedy = "register it with gymnasium's FlattenObservation, which makes one vector of what is observed"
        else:
            remedy = "no agent of the course takes such actions; make them one choice (Discrete) or a Box with bounds"
        raise ValueError(
            f"agent = {agent!r} does not suit {env.spec.id if env.spec else env}, whose observation_space = {seen} "
            f"and action_space = {done}: {remedy}"
        )
    size = int(seen.n) if isinstance(seen, Discrete) else seen.shape[0]  # type: ignore[index]
    if "action_space" in signature(agent_class(agent)).parameters:
        return size, done
    return size, int(done.n) if isinstance(done, Discrete) else done.shape[0]  # type: ignore[index]
