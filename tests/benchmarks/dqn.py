"""Our DQN against Stable-Baselines3's, see `rivals`."""

import time

import gymnasium as gym
import torch
from rich.table import Table

from rlcourse import loop
from rlcourse.algorithms.dqn import DQN, Config
from tests.benchmarks import rivals
from tests.benchmarks.rivals import ENV, Stopwatch, peak_memory

WARM_UP, STEPS, LIMIT = 1_000, 5_000, 50_000
EVALUATE_EVERY = 1_000

# Both: one update of 128 per step, 2 × 128 units, a copy of the network every 500 updates.
OURS = Config(
    batch_size=128,
    hidden=(128, 128),
    learning_starts=500,
    train_every=1,
    updates=1,
    target_every=500,
    tau=1.0,
    n_step=1,
)
THEIRS = {
    "policy_kwargs": {"net_arch": [128, 128]},
    "batch_size": 128,
    "buffer_size": 100_000,
    "learning_starts": 500,
    "train_freq": 1,
    "gradient_steps": 1,
    "target_update_interval": 500,
}

# rl-baselines3-zoo's tuned settings for CartPole-v1; its exploration fractions refer to 50 000 steps.
ZOO = {
    "policy_kwargs": {"net_arch": [256, 256]},
    "learning_rate": 2.3e-3,
    "batch_size": 64,
    "buffer_size": 100_000,
    "learning_starts": 1_000,
    "target_update_interval": 10,
    "train_freq": 256,
    "gradient_steps": 128,
    "exploration_fraction": 0.16,
    "exploration_final_eps": 0.04,
}


def our_speed() -> tuple[float, float]:
    torch.set_num_threads(1)
    env, agent = gym.make(ENV), DQN(4, 2, OURS, seed=0)
    for _ in loop.train(env, agent, WARM_UP, seed=0):
        pass
    start = time.perf_counter()
    for _ in loop.train(env, agent, STEPS, seed=None):
        pass
    return STEPS / (time.perf_counter() - start), peak_memory()


def their_speed() -> tuple[float, float]:
    from stable_baselines3 import DQN

    torch.set_num_threads(1)
    model = DQN("MlpPolicy", gym.make(ENV), seed=0, device="cpu", **THEIRS)
    model.learn(WARM_UP)
    start = time.perf_counter()
    model.learn(STEPS, reset_num_timesteps=False)
    return STEPS / (time.perf_counter() - start), peak_memory()


def our_seconds(seed: int) -> float:
    torch.set_num_threads(1)
    agent = DQN(4, 2, Config(), seed)
    watch = Stopwatch(agent.act)
    for metrics in loop.train(gym.make(ENV), agent, LIMIT, seed):
        if "reward" in metrics and metrics["step"] % EVALUATE_EVERY == 0 and watch.solved():
            return watch.seconds
    return float("inf")


def their_seconds(seed: int) -> float:
    from stable_baselines3 import DQN
    from stable_baselines3.common.callbacks import BaseCallback

    torch.set_num_threads(1)
    model = DQN("MlpPolicy", gym.make(ENV), seed=seed, device="cpu", **ZOO)
    watch = Stopwatch(lambda obs, explore: int(model.predict(obs, deterministic=not explore)[0]))

    class Evaluation(BaseCallback):
        def _on_step(self) -> bool:
            return self.n_calls % EVALUATE_EVERY != 0 or not watch.solved()

    model.learn(LIMIT, Evaluation())
    return watch.seconds if model.num_timesteps < LIMIT else float("inf")


def tables() -> list[Table]:
    setting = "one update of 128 per step, 2 × 128 units"
    return rivals.with_rivals(
        "DQN",
        lambda pool: [
            rivals.speeds(pool, "DQN", setting, {"ours": our_speed, "Stable-Baselines3": their_speed}),
            rivals.until_solved(pool, "DQN", our_seconds, their_seconds),
        ],
    )
