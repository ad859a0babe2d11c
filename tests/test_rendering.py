import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from imageio_ffmpeg import count_frames_and_secs

from rlcourse import rendering

DRAW_CHEETAH = """
import gymnasium as gym
env = gym.make("HalfCheetah-v5", render_mode="rgb_array")
env.reset(seed=0)
frame = env.render()
print(*frame.shape, len(set(map(tuple, frame.reshape(-1, 3)))))
"""


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    rendering.find_backend.cache_clear()
    yield
    rendering.find_backend.cache_clear()


def backends(monkeypatch: pytest.MonkeyPatch, working: set[str]) -> list[str]:
    """Let only these backends draw; the list returned fills with those that are tried."""
    tried: list[str] = []
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(rendering, "BACKENDS", ("egl", "osmesa", "glfw"))

    def draws(name: str) -> bool:
        tried.append(name)
        return name in working

    monkeypatch.setattr(rendering, "_draws", draws)
    return tried


def draws_a_cheetah(backend: str) -> bool:
    env = {**os.environ, "MUJOCO_GL": backend}
    done = subprocess.run([sys.executable, "-c", DRAW_CHEETAH], env=env, capture_output=True, text=True)
    if done.returncode:
        return False
    *shape, colours = map(int, done.stdout.split())
    return shape == [480, 480, 3] and colours > 100  # floor, sky and a shaded cheetah


@pytest.mark.thorough
def test_the_backend_found_is_the_first_that_draws_a_lectures_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    backend = next(filter(draws_a_cheetah, rendering.BACKENDS), None)
    assert rendering.find_backend() == backend
    if backend is None:
        assert not os.environ.get("CI"), "CI installs apt.txt, so some backend must draw"
        pytest.skip("no OpenGL backend draws here")


def test_first_that_draws_is_taken_and_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = backends(monkeypatch, {"osmesa", "glfw"})
    assert rendering.find_backend() == "osmesa"
    assert rendering.find_backend() == "osmesa"
    assert tried == ["egl", "osmesa"]


def test_none_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = backends(monkeypatch, set())
    assert rendering.find_backend() is None
    assert tried == ["egl", "osmesa", "glfw"]


@pytest.mark.parametrize(("working", "found"), [({"glfw", "egl"}, "glfw"), ({"egl"}, None)])
def test_the_users_choice_is_the_only_one_tried(
    monkeypatch: pytest.MonkeyPatch, working: set[str], found: str | None
) -> None:
    tried = backends(monkeypatch, working)
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    assert rendering.find_backend() == found
    assert tried == ["glfw"]


def test_a_backend_that_does_not_exist_does_not_draw() -> None:
    assert not rendering._draws("charcoal")


def test_a_backend_that_hangs_does_not_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "TIMEOUT", 0.01)
    assert not rendering._draws("osmesa")


@pytest.mark.parametrize("contrast", [0, 1])
def test_a_blank_picture_is_no_picture(monkeypatch: pytest.MonkeyPatch, contrast: int) -> None:
    class Camera(gym.Env[Any, Any]):
        def reset(self, **kwargs: Any) -> tuple[None, dict[str, Any]]:
            return None, {}

        def render(self) -> Any:
            return contrast * np.eye(4, dtype=np.uint8)

    monkeypatch.setattr(gym, "make", lambda *args, **kwargs: Camera())
    if contrast:
        rendering.draw()
    else:
        with pytest.raises(RuntimeError, match="blank"):
            rendering.draw()


class Counter(gym.Env[Any, Any]):
    """Twelve steps at 60 a second; each frame is as bright as steps have been taken."""

    metadata: dict[str, Any] = {"render_fps": 60}  # noqa: RUF012  (gymnasium's)
    step_number = 0

    def reset(self, **kwargs: Any) -> tuple[int, dict[str, Any]]:
        self.step_number = 0
        return 0, {}

    def step(self, action: Any) -> tuple[int, float, bool, bool, dict[str, Any]]:
        assert action == "greedy"
        self.step_number += 1
        return self.step_number, 0.0, False, self.step_number == 12, {}

    def render(self) -> Any:
        return np.full((32, 32, 3), 10 * self.step_number, np.uint8)


class Greedy:
    def act(self, obs: Any, explore: bool = True) -> str:
        return "exploring" if explore else "greedy"


@pytest.mark.parametrize(
    ("every", "frames", "steps"), [(1, np.inf, range(13)), (5, np.inf, (0, 5, 10)), (3, 3, (0, 3, 6))]
)
def test_an_episode_is_recorded_at_every_so_many_steps(every: int, frames: float, steps: Any) -> None:
    taken = rendering.record(Counter(), Greedy(), 0, every, frames)
    assert [frame[0, 0, 0] // 10 for frame in taken] == list(steps)


def test_a_film_runs_in_real_time(tmp_path: Path) -> None:
    path = tmp_path / "new" / "film.mp4"
    rendering.film(Counter(), Greedy(), 0, path, seconds=0.1)
    # At 60 frames a second, every second one.
    assert count_frames_and_secs(path) == (3, pytest.approx(3 / 30, abs=0.01))
    rendering.film(Counter(), Greedy(), 0, path, seconds=0.5)
    # 7 frames of an episode of 13, then another episode.
    assert count_frames_and_secs(path) == (15, pytest.approx(15 / 30, abs=0.01))


@pytest.mark.parametrize(
    ("env_id", "camera"), [("HalfCheetah-v5", "track"), ("Hopper-v5", "track"), ("Reacher-v5", None)]
)
def test_the_camera_goes_along_with_robots_that_run_away(env_id: str, camera: str | None) -> None:
    world: Any = gym.make(env_id).unwrapped
    before = world.mujoco_renderer.camera_id
    rendering._follow(world)
    after = world.mujoco_renderer.camera_id
    assert after == (before if camera is None else world.model.camera(camera).id)
