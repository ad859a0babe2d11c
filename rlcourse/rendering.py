"""Which OpenGL backend draws MuJoCo here: found by drawing, since drivers that load may still not draw."""

import os
import platform
import subprocess
import sys
from functools import cache

# On macOS and Windows MuJoCo takes the system's own OpenGL, whose name gymnasium knows only as "glfw".
BACKENDS = ("egl", "osmesa", "glfw") if platform.system() == "Linux" else ("glfw",)
TIMEOUT = 20  # seconds; a cold start takes up to 5, a broken driver may hang for ever


@cache
def find_backend() -> str | None:
    """The first backend that draws a frame, to be put into the environment's `MUJOCO_GL`; None if none does.

    If `MUJOCO_GL` is set already, only that one is tried. The answer is kept for the life of the process.
    """
    wanted = os.environ.get("MUJOCO_GL")
    return next((name for name in ((wanted,) if wanted else BACKENDS) if _draws(name)), None)


def _draws(name: str) -> bool:
    """Whether this backend draws, tried in another process: MuJoCo binds a backend for good and may crash in it."""
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
