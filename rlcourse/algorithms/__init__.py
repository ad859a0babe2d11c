"""The algorithms of the course, a page each; imported only when asked for."""

from pkgutil import resolve_name
from typing import Any

AGENTS = {
    "q_learning": "rlcourse.algorithms.q_iteration:QLearning",
    "dqn": "rlcourse.algorithms.dqn:DQN",
    "rainbow": "rlcourse.algorithms.rainbow:Rainbow",
    "reinforce": "rlcourse.algorithms.reinforce:REINFORCE",
    "actor_critic": "rlcourse.algorithms.actor_critic:ActorCritic",
    "ppo": "rlcourse.algorithms.ppo:PPO",
    "ddpg": "rlcourse.algorithms.ddpg:DDPG",
    "double_ac": "rlcourse.algorithms.double_ac:DoubleAC",
    "td3": "rlcourse.algorithms.td3:TD3",
    "off_policy_ac": "rlcourse.algorithms.off_policy_ac:OffPolicyAC",
    "sac": "rlcourse.algorithms.sac:SAC",
    "mixture_sac": "rlcourse.algorithms.mixture_sac:MixtureSAC",
    "soft_q_learning": "rlcourse.algorithms.soft_q_learning:SoftQLearning",
    "td7": "rlcourse.algorithms.td7:TD7",
    "iql": "rlcourse.algorithms.iql:IQL",
    "cql": "rlcourse.algorithms.cql:CQL",
    "edac": "rlcourse.algorithms.edac:EDAC",
}


def agent_class(agent: str) -> type[Any]:
    """The class of an agent, a key of `AGENTS` or `module:Class`."""
    return resolve_name(AGENTS.get(agent, agent))


def config_class(agent: str) -> type[Any]:
    """The `Config` beside that class."""
    return resolve_name(AGENTS.get(agent, agent).split(":")[0] + ":Config")
