import json
import os
import platform
import shutil
import sys
from collections.abc import Callable
from email.message import Message
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from rlcourse import curves
from rlcourse.operations import doctor
from rlcourse.operations.doctor import Check

PROBES = {name: (probe, remedy, required) for name, probe, remedy, required in doctor.PROBES}


def check(name: str) -> Check:
    return doctor._check(name, *PROBES[name])


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # imageio-ffmpeg leaves its pipes to the collector
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.thorough] if name in ("kernel", "widgets") else [])
        for name in PROBES
        if name not in ("rendering", "grading", "browser", "tested versions")
    ],
)
def test_works_here(name: str) -> None:
    """Whoever runs the tests has a working set-up; warnings may differ from one machine to the next."""
    found = check(name)
    assert found.ok, found
    assert found.required
    assert found.remedy == ""


def test_run_makes_every_check(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = tuple((name, lambda name=name: name * 2, remedy, required) for name, _, remedy, required in doctor.PROBES)
    monkeypatch.setattr(doctor, "PROBES", rows)
    assert [(each.name, each.detail) for each in doctor.run()] == [(name, name * 2) for name in PROBES]


def test_what_a_failure_must_say_is_there() -> None:
    for name, (_, remedy, _) in PROBES.items():
        assert remedy, name


# --- every way to fail: how it is brought about, what the check says, part of its remedy, whether lectures need it


def old_python(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    patch.setattr(sys, "version_info", (3, 10, 4, "final", 0))


def new_python(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    patch.setattr(sys, "version_info", (3, 14, 0, "candidate", 1))


def not_installed(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(name: str) -> Message:
        raise metadata.PackageNotFoundError(name)

    patch.setattr(metadata, "metadata", missing)


def without(package: str) -> Callable[[pytest.MonkeyPatch, Path], None]:
    def scene(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        installed = doctor._installed()
        del installed[package]
        patch.setattr(doctor, "_installed", lambda: installed)

    return scene


def old_numpy(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installed = doctor._installed() | {"numpy": "1.26.0"}
    patch.setattr(doctor, "_installed", lambda: installed)


def many_others(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    patch.setattr(
        doctor, "_installed", lambda: dict.fromkeys(["numpy", "torch", "scipy", "rich", "tqdm", "six"], "0.1")
    )


def unimportable(module: str) -> Callable[[pytest.MonkeyPatch, Path], None]:
    return lambda patch, tmp_path: patch.setitem(sys.modules, module, None)


def no_backend(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    patch.setattr(doctor, "find_backend", lambda: None)


def broken_ffmpeg(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    patch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "no-ffmpeg"))


def garbled_video(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import imageio.v3 as iio

    patch.setattr(iio, "imread", lambda *args, **kwargs: np.zeros((64, 64, 3), np.uint8))


def installed_from_a_wheel(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    patch.setattr(curves, "CURVES", tmp_path / "assets" / "curves")


def no_extensions(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import jupyter_core.paths

    patch.setattr(jupyter_core.paths, "jupyter_path", lambda *parts: [str(tmp_path)])


def disabled_extension(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "labconfig").mkdir()
    (tmp_path / "labconfig/page_config.json").write_text('{"disabledExtensions": {"anywidget": true}}')
    patch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))


def kernel_of_another_python(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "rlcourse.py").write_text("raise ModuleNotFoundError(\"No module named 'rlcourse'\")")
    patch.setenv("PYTHONPATH", str(tmp_path))


def kernel_that_dies(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ipykernel_launcher.py").write_text("raise SystemExit(3)")
    patch.setenv("PYTHONPATH", str(tmp_path))


def no_browser(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    patch.setenv("PATH", str(tmp_path))
    patch.delenv("CHROMIUM", raising=False)


def forbidden_bubblewrap(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho no permission >&2\nexit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    patch.setenv("PATH", f"{tmp_path}:/bin")


@pytest.mark.parametrize(
    ("name", "scene", "detail", "remedy", "required"),
    [
        ("Python", old_python, "3.10.4; the course needs", "PYTHON=python3.11", True),
        ("Python", new_python, "3.14.0; the course needs", "PYTHON=python3.11", True),
        ("Python", not_installed, "rlcourse", "PYTHON=python3.11", True),
        ("packages", without("anywidget"), "anywidget>=0.9.13 (here: none)", "pip install", True),
        ("packages", without("jupyterlab"), "jupyterlab>=4.4", "pip install", True),
        ("packages", old_numpy, "numpy>=2.1 (here: 1.26.0)", "pip install", True),
        ("tested versions", old_numpy, "numpy 1.26.0 (tested: ==", "pip install", False),
        ("tested versions", many_others, "and 2 more", "pip install", False),
        ("torch", unimportable("torch"), "torch", "pip install", True),
        ("rendering", no_backend, "stored videos", "libosmesa6", False),
        ("video", unimportable("imageio.v3"), "imageio", "pip install", True),
        ("video", broken_ffmpeg, "ffmpeg", "IMAGEIO_FFMPEG_EXE", True),
        ("video", garbled_video, "other pixels", "pip install", True),
        ("widgets", unimportable("jupyterlab.commands"), "jupyterlab", "pip install", True),
        pytest.param(
            *("widgets", no_extensions, "does not find its extension @jupyter-widgets", "pip install", True),
            marks=pytest.mark.thorough,
        ),
        pytest.param(
            *("widgets", disabled_extension, "jupyter labextension enable anywidget", "pip install", True),
            marks=pytest.mark.thorough,
        ),
        ("recorded runs", installed_from_a_wheel, "installed without the course", "-e ", True),
        ("kernel", unimportable("jupyter_client.manager"), "jupyter_client", "pip install", True),
        pytest.param(
            *("kernel", kernel_of_another_python, "No module named 'rlcourse'", "pip install", True),
            marks=pytest.mark.thorough,
        ),
        ("kernel", kernel_that_dies, "died", "-m ipykernel", True),
        ("grading", no_browser, "bwrap", "apt install bubblewrap", False),
        ("grading", forbidden_bubblewrap, "does not work here: no permission", "apt install bubblewrap", False),
        ("browser", no_browser, "no Chromium or Chrome", "apt install chromium", False),
    ],
)
def test_failure_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    scene: Callable[[pytest.MonkeyPatch, Path], None],
    detail: str,
    remedy: str,
    required: bool,
) -> None:
    scene(monkeypatch, tmp_path)
    found = check(name)
    assert not found.ok
    assert detail in found.detail
    assert remedy in found.remedy
    assert found.required == required


def test_long_lists_are_cut() -> None:
    assert doctor._shorten(list("abcd")) == "a, b, c, d"
    assert doctor._shorten(list("abcdef")) == "a, b, c, d and 2 more"


def test_build_of_torch_does_not_matter_to_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = doctor._installed()
    for build in ("", "+cpu", "+cu130"):
        torch = {"torch": installed["torch"].partition("+")[0] + build}
        monkeypatch.setattr(doctor, "_installed", lambda torch=torch: torch)
        assert check("tested versions").ok


def test_installed_from_a_wheel_versions_are_not_compared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "CONSTRAINTS", tmp_path / "constraints.txt")
    found = check("tested versions")
    assert found.ok
    assert found.detail.startswith("not compared")


def test_screen_shows_each_verdict(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    remedy = "a remedy that is longer than the terminal is wide stays whole [brackets] too"
    doctor.show([Check("a", True, "fine"), Check("b", False, "bad", remedy), Check("c", False, "odd", "go", False)])
    good, bad, bad_remedy, odd, odd_remedy = capsys.readouterr().out.splitlines()
    assert good.split() == ["ok", "a", "fine"]
    assert bad.split() == ["FAIL", "b", "bad"]
    assert bad_remedy.strip() == f"fix: {remedy}"
    assert odd.split() == ["warn", "c", "odd"]
    assert odd_remedy.strip() == "fix: go"


def test_bug_report_is_json_without_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    home = 'C:\\Users\\"me"' if os.name == "nt" else '/home/"me"'
    monkeypatch.setattr(Path, "home", lambda: Path(home))
    text = doctor.bug_report([Check("kernel", False, f"{home}/python died", f"rm {home}/x")])
    report = json.loads(text)
    assert report["checks"][0] == {
        "name": "kernel",
        "ok": False,
        "detail": "~/python died",
        "remedy": "rm ~/x",
        "required": True,
    }
    assert report["python"] == sys.version
    assert report["platform"] == platform.platform()
    assert report["versions"]["numpy"] == np.__version__


def test_bug_report_where_home_is_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path(Path.cwd().anchor))
    assert "/usr/bin/python" in doctor.bug_report([Check("a", False, "/usr/bin/python")])


def test_first_browser_on_the_path_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: {"google-chrome": "/opt/chrome"}.get(name))
    monkeypatch.setenv("CHROMIUM", "/opt/named")
    assert doctor.find_browser() == "/opt/named"
    monkeypatch.delenv("CHROMIUM")
    assert doctor.find_browser() == "/opt/chrome"
    assert check("browser") == Check("browser", True, "/opt/chrome", required=False)
