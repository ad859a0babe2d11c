"""Our PPO against Stable-Baselines3's, see `rivals`. Aims: three times the steps per second; CartPole no slower."""

import time

import gymnasium as gym
import torch
from gymnasium.spaces import flatdim
from rich.table import Table

from rlcourse import envs, loop
from rlcourse.algorithms.ppo import PPO, Config
from tests.benchmarks import rivals
from tests.benchmarks.rivals import ENV, Stopwatch, peak_memory

SPEED_ENV = "HalfCheetah-v5"
ROLLOUTS, LIMIT = 3, 100_000
EVALUATE_EVERY = 1_024  # environment steps: four of the zoo's rollouts

# Both: one environment, 2048 steps, 10 epochs of minibatches of 64, 2 × 64 tanh units for actor and critic each.
OURS = Config(num_envs=1, rollout_steps=2_048, epochs=10, batch_size=64, hidden=(64, 64))
THEIRS = {"n_steps": 2_048, "n_epochs": 10, "batch_size": 64}  # the rest is their default

# rl-baselines3-zoo's tuned settings for CartPole-v1; ours without its two schedules, which fall to 0 at 100 000 steps.
TUNED = Config(num_envs=8, rollout_steps=32, batch_size=256, gae_lambda=0.8, gamma=0.98, epochs=20, lr=1e-3)
ZOO = {
    "n_steps": 32,
    "batch_size": 256,
    "gae_lambda": 0.8,
    "gamma": 0.98,
    "n_epochs": 20,
    "ent_coef": 0.0,
    "learning_rate": lambda remaining: 0.001 * remaining,
    "clip_range": lambda remaining: 0.2 * remaining,
}


def our_speed() -> tuple[float, float]:
    torch.set_num_threads(1)
    env = envs.make_vector(SPEED_ENV, 1)
    agent = PPO(flatdim(env.single_observation_space), env.single_action_space, OURS, seed=0)
    steps = OURS.rollout_steps
    for _ in loop.train_vector(env, agent, steps, seed=0):
        pass
    start = time.perf_counter()
    for _ in loop.train_vector(env, agent, ROLLOUTS * steps, seed=None):
        pass
    return ROLLOUTS * steps / (time.perf_counter() - start), peak_memory()


def their_speed() -> tuple[float, float]:
    from stable_baselines3 import PPO

    torch.set_num_threads(1)
    model = PPO("MlpPolicy", gym.make(SPEED_ENV), seed=0, device="cpu", **THEIRS)
    steps = THEIRS["n_steps"]
    model.learn(steps)
    start = time.perf_counter()
    model.learn(ROLLOUTS * steps, reset_num_timesteps=False)
    return ROLLOUTS * steps / (time.perf_counter() - start), peak_memory()


def our_seconds(seed: int) -> float:
    torch.set_num_threads(1)
    env = envs.make_vector(ENV, TUNED.num_envs)
    agent = PPO(4, env.single_action_space, TUNED, seed)
    watch = Stopwatch(agent.act)
    for metrics in loop.train_vector(env, agent, LIMIT, seed):
        if "reward" in metrics and metrics["step"] % EVALUATE_EVERY == 0 and watch.solved():
            return watch.seconds
    return float("inf")


def their_seconds(seed: int) -> float:
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env

    torch.set_num_threads(1)
    model = PPO("MlpPolicy", make_vec_env(ENV, TUNED.num_envs, seed=seed), seed=seed, device="cpu", **ZOO)
    watch = Stopwatch(lambda obs, explore: int(model.predict(obs, deterministic=not explore)[0]))

    class Evaluation(BaseCallback):
        def _on_step(self) -> bool:
            return self.num_timesteps % EVALUATE_EVERY != 0 or not watch.solved()

    model.learn(LIMIT, Evaluation())
    return watch.seconds if model.num_timesteps < LIMIT else float("inf")


def tables() -> list[Table]:
    setting = f"{SPEED_ENV}, 2048 steps, 10 epochs of minibatches of 64, 2 × 64 tanh units"
    return rivals.with_rivals(
        "PPO",
        lambda pool: [
            rivals.speeds(pool, "PPO", setting, {"ours": our_speed, "Stable-Baselines3": their_speed}),
            rivals.until_solved(pool, "PPO", our_seconds, their_seconds),
        ],
    )
