"""Homework 5: the agents that question 5 asks about, really broken. Not for students.

`python notebooks/instructor/hw05_runs.py` records them anew, in some minutes.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from unittest import mock

import numpy as np
import torch
from recorder import Study, record

from rlcourse import envs, loop
from rlcourse.algorithms import ppo
from rlcourse.buffers import Transition
from rlcourse.returns import monte_carlo_targets

ROLLOUTS, SEEDS = 5, 3
NAMES = ("episode return", "paid", "value", "spread of value", "last target", "largest ratio", "KL")
CONFIG = ppo.Config()


class Watched(ppo.PPO):
    """PPO that notes what the critic says of a rollout before it learns from it, and what it is to learn."""

    def prepare(self, rollout: Transition) -> ppo.Samples:
        value, next_value = self.value(rollout.obs), self.value(rollout.next_obs)
        ends = rollout.terminated, rollout.truncated
        paid = monte_carlo_targets(rollout.reward, next_value, *ends, self.config.gamma)
        samples = self.samples(rollout)
        last_target = samples.target.numpy()[rollout.terminated.ravel()]
        self.seen = paid.mean(), value.mean(), value.std(), last_target.mean()
        return samples

    def samples(self, rollout: Transition) -> ppo.Samples:
        return super().prepare(rollout)


class PastTheEnd(Watched):
    def samples(self, rollout: Transition) -> ppo.Samples:
        over = rollout.terminated | rollout.truncated
        return super().samples(replace(rollout, terminated=np.zeros_like(over), truncated=over))


class WrongSign(Watched):
    def samples(self, rollout: Transition) -> ppo.Samples:
        samples = super().samples(rollout)
        return replace(samples, advantage=-samples.advantage)


class NormalisedTarget(Watched):
    def samples(self, rollout: Transition) -> ppo.Samples:
        samples = super().samples(rollout)
        value = torch.as_tensor(self.value(rollout.obs)).flatten()
        return replace(samples, target=samples.advantage + value)


class RenewedLogProb(Watched):
    def update(self, samples: ppo.Samples) -> dict[str, float]:
        with torch.no_grad():
            log_prob = self.policy(samples.obs).log_prob(samples.action)
        return super().update(replace(samples, old_log_prob=log_prob))


class Broadcast(Watched):
    def update(self, samples: ppo.Samples) -> dict[str, float]:
        def of_column(value: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return 0.5 * (target - value[:, None]).square().mean()

        with mock.patch.object(ppo, "critic_loss", of_column):
            return super().update(samples)


AGENTS: dict[str, Callable[..., Watched]] = {
    "healthy": Watched,
    "A": RenewedLogProb,
    "B": Broadcast,
    "C": PastTheEnd,
    "D": WrongSign,
    "E": NormalisedTarget,
}


def run(agent_class: Callable[..., Watched], seed: int) -> Iterator[tuple[float, ...]]:
    """What `NAMES` lists, of each rollout of 2048 steps of CartPole."""
    torch.set_num_threads(1)
    env = envs.make_vector("CartPole-v1", 1)
    agent = agent_class(4, env.single_action_space, CONFIG, seed)
    returns, ratios, kls = [], [], []
    for event in loop.train_vector(env, agent, ROLLOUTS * CONFIG.rollout_steps, seed):
        returns += [event["episode_return"]] if "episode_return" in event else []
        if "kl" in event:
            ratios.append(event["max_ratio"])
            kls.append(event["kl"])
        if "reward" in event and event["step"] % CONFIG.rollout_steps == 0:
            last_epoch = kls[-CONFIG.rollout_steps // CONFIG.batch_size :]
            yield np.mean(returns), *agent.seen, max(ratios), np.mean(last_epoch)
            returns, ratios, kls = [], [], []


STUDIES = (
    Study(
        "hw05",
        "rollout",
        range(1, ROLLOUTS + 1),
        NAMES,
        {name: partial(run, agent_class) for name, agent_class in AGENTS.items()},
        range(SEEDS),
    ),
)

if __name__ == "__main__":
    record(STUDIES)
