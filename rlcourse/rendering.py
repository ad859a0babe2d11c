"""Film agents, and find the OpenGL backend that draws MuJoCo: by drawing, since a driver that loads may not draw."""

import math
import os
import platform
import subprocess
import sys
from base64 import b64encode
from functools import cache
from html import escape
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import gymnasium as gym
    import numpy as np

# On macOS and Windows MuJoCo takes the system's own OpenGL, whose name gymnasium knows only as "glfw".
BACKENDS = ("egl", "osmesa", "glfw") if platform.system() == "Linux" else ("glfw",)
TIMEOUT = 60  # seconds; a cold start takes 5, on a busy machine ten times that; a broken driver can hang for ever


@cache
def find_backend() -> str | None:
    """The first backend that draws a frame, a value for the environment variable `MUJOCO_GL`; None if no backend does.

    If `MUJOCO_GL` is set already, only that backend is tried. Each process searches once.
    """
    wanted = os.environ.get("MUJOCO_GL")
    return next((name for name in ((wanted,) if wanted else BACKENDS) if _draws(name)), None)


def _draws(name: str) -> bool:
    """Whether this backend draws. Another process tries it: MuJoCo cannot change its backend, and may crash in it."""
    command = [sys.executable, "-c", "from rlcourse.rendering import draw; draw()"]
    try:
        done = subprocess.run(command, env={**os.environ, "MUJOCO_GL": name}, capture_output=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def draw() -> None:
    """Draw one frame of a MuJoCo environment in this process.

    Raises:
        RuntimeError: the picture is blank.
    """
    import gymnasium as gym
    import numpy as np

    env = gym.make("InvertedPendulum-v5", render_mode="rgb_array", width=64, height=64)
    env.reset(seed=0)
    frame = np.asarray(env.render())
    env.close()
    if frame.min() == frame.max():
        raise RuntimeError("MuJoCo drew a blank picture")


def record(env: "gym.Env", agent: Any, seed: int, every: int = 1, frames: float = math.inf) -> "list[np.ndarray]":
    """Film one episode without exploration: take a frame at every `every`-th step, at most `frames` of them.

    Args:
        env: made with `render_mode="rgb_array"`.
        agent: anything with `act(obs, explore)`.
    """
    import numpy as np

    # Else pygame looks for a screen, and complains where there is none.
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    obs, _ = env.reset(seed=seed)
    taken, step, over = [np.array(env.render())], 0, False
    while not over and len(taken) < frames:
        obs, _, terminated, truncated, _ = env.step(agent.act(obs, explore=False))
        step, over = step + 1, terminated or truncated
        if step % every == 0:
            taken.append(np.array(env.render()))
    return taken


def film(env: "gym.Env", agent: Any, seed: int, path: Path, seconds: float = 6.0) -> None:
    """Store the first seconds without exploration as an MP4, in real time with at most 30 frames a second.

    If an episode ends sooner, another one follows, from the next seed.

    Args:
        env: made with `render_mode="rgb_array"`.
        path: it ends in `.mp4`.
    """
    import imageio.v3 as imageio
    import numpy as np

    _follow(env.unwrapped)
    per_second = env.metadata["render_fps"]
    every = math.ceil(per_second / 30)
    path.parent.mkdir(parents=True, exist_ok=True)
    frames: list[np.ndarray] = []
    wanted = seconds * per_second / every
    for episode in count(seed):
        frames += record(env, agent, episode, every, frames=wanted - len(frames))
        if len(frames) >= wanted:
            break
    imageio.imwrite(path, np.stack(frames), plugin="FFMPEG", fps=per_second / every)


def _follow(env: "gym.Env") -> None:
    """Switch to the camera that follows a MuJoCo robot, if the robot has one; gymnasium's own camera stands still."""
    model = getattr(env, "model", None)
    if model is not None and "track" in (model.camera(i).name for i in range(model.ncam)):
        env.mujoco_renderer.camera_id = model.camera("track").id  # type: ignore[attr-defined]


def moving_picture(gif: bytes, alt: str) -> str:
    """HTML of a moving picture that stands still, at its first frame, for whoever has asked for less motion."""
    import imageio.v3 as imageio

    still = imageio.imwrite("<bytes>", imageio.imread(gif, index=0, extension=".gif"), extension=".png")
    kinds = {"png": still, "gif": gif}
    first, moving = (f"data:image/{kind};base64,{b64encode(data).decode()}" for kind, data in kinds.items())
    calm = f'<source media="(prefers-reduced-motion: reduce)" srcset="{first}">'
    return f'<picture>{calm}<img src="{moving}" alt="{escape(alt)}"></picture>'
