"""A start for your own agent. It acts at random and learns nothing: that is your part.

rlcourse probe my_agent.py:MyAgent
rlcourse train my_agent.py:MyAgent --env CartPole-v1 --steps 25000 --seeds 0:3 --compare 02_cartpole_dqn
"""

import numpy as np


class MyAgent:
    """Made once for each seed. The training loop calls act, observe and learn, in this order, at every step."""

    def __init__(self, observation_space, action_space, seed, gamma=0.99):
        self.gamma = gamma  # the probes make it with gamma=0.5
        self.obs_size = int(np.prod(observation_space.shape))  # numbers in an observation; where it is one number, 1
        self.num_actions = int(action_space.n)  # actions are 0 to num_actions - 1
        self.random = np.random.default_rng(seed)
        # Networks, optimiser, memory: draw everything from `seed`, so that a run can be repeated.

    def act(self, obs, explore=True):
        """An action for one observation, an array of obs_size numbers. With explore=False the best one."""
        return int(self.random.integers(self.num_actions))

    def observe(self, transition):
        """Remember one step: transition.obs, .action, .reward, .next_obs, .terminated and .truncated."""

    def learn(self):
        """Update as often as you like, none at all while there are too few steps; yield numbers after each update."""
        yield from ()

    def value(self, obs, action):
        """Optional, for the probes: what the critic believes, Q(s, a); for V(s) write value(self, obs) instead."""
        return 0.0

    # Optional too: `state_dict()` and `load_state_dict(state)`, so that an interrupted run can go on.
