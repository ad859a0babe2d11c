"""The smallest torch agent that has everything a real one has: networks, an optimiser, a memory, its own chance."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch

from rlcourse import checkpoints, runs
from rlcourse.buffers import Transition

# With episodes short enough that a test sees many of their ends: `tiny:ShortCartPole-v1`, `tiny:ShortCheetah-v5`.
gym.register("ShortCartPole-v1", "gymnasium.envs.classic_control.cartpole:CartPoleEnv", max_episode_steps=50)
gym.register("ShortCheetah-v5", "gymnasium.envs.mujoco.half_cheetah_v5:HalfCheetahEnv", max_episode_steps=50)


@dataclass(frozen=True)
class Config:
    lr: float = 1e-2  # of Adam


class Tiny:
    """Regresses rewards from observations and acts on the result, with noise. For actions in a box or a choice."""

    def __init__(self, obs_size: int, action_size: int, config: Config, seed: int) -> None:
        self.random = torch.Generator().manual_seed(seed)
        self.net = torch.nn.Linear(obs_size, action_size)
        with torch.no_grad():
            self.net.weight.normal_(generator=self.random)
            self.net.bias.zero_()
        self.optimiser = torch.optim.Adam(self.net.parameters(), lr=config.lr)
        self.memory: list[Any] = []

    def act(self, obs: Any, explore: bool = True) -> Any:
        with torch.no_grad():
            preference = torch.tanh(self.net(torch.as_tensor(obs, dtype=torch.float32)))
        if explore:
            preference = preference + torch.randn(preference.shape, generator=self.random)
        return self.choose(preference)

    def choose(self, preference: torch.Tensor) -> Any:
        return int(preference.argmax())

    def observe(self, transition: Transition) -> None:
        obs = torch.as_tensor(transition.obs, dtype=torch.float32)
        self.memory = [*self.memory[-99:], (obs, torch.tensor(float(transition.reward)))]

    def learn(self) -> Iterator[dict[str, float]]:
        index = int(torch.randint(len(self.memory), (), generator=self.random))
        obs, reward = self.memory[index]
        loss = (self.net(obs).mean() - reward) ** 2
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        yield {"loss": loss.item()}

    def state_dict(self) -> dict[str, Any]:
        return {
            "net": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "memory": self.memory,
            "random": self.random.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.memory = list(state["memory"])
        self.random.set_state(state["random"])


class TinyBox(Tiny):
    """The same with actions in [−1, 1]."""

    def choose(self, preference: torch.Tensor) -> Any:
        return preference.clamp(-1, 1).numpy()


def work(saved: Any, experiment: runs.Experiment, out: Path, finishes: bool) -> None:
    """What a process of the SIGKILL test does: train seed 0, saving at every episode's end; `saved`: the last step.

    One that is to be killed before it finishes waits for that at its last save, however late the killer comes.
    """
    genuine = checkpoints.save

    def save(path: Path, env: Any, agent: Any, step: int, **extra: Any) -> None:
        if step >= experiment.steps and not finishes:
            signal.pause()
        genuine(path, env, agent, step, **extra)
        saved.value = step

    checkpoints.save = save
    runs.run(experiment, 0, out, save_every=0.0)
