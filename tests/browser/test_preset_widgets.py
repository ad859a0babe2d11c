"""The widgets with presets: every preset, every slider to both ends, what fits where."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from playwright.sync_api import ViewportSize

from rlcourse.widgets import (
    actor_climb,
    batch_td,
    checkpoints,
    deadly_triad,
    discount,
    embeddings,
    exploration,
    four_goals,
    gae,
    gradient_variance,
    hindsight,
    importance_weights,
    lap_sampling,
    live_run,
    mc_vs_td,
    overestimation,
    ppo_clip,
    q_stepper,
    replay,
    seed_lottery,
    squashed_gaussian,
    target_delay,
)
from tests.browser.lab import SIZES, Lab, Notebook

pytestmark = pytest.mark.browser
SLIDERS = {
    q_stepper: {"γ": "gamma", "slip": "slip", "sweep": "sweep"},
    exploration: {"ε": "epsilon", "temperature T": "temperature", "optimistic Q₀": "initial_value"},
    overestimation: {"actions m": "actions", "noise σ": "noise", "samples n": "samples", "gap": "gap"},
    deadly_triad: {"γ": "gamma", "step size α": "lr", "step": "step"},
    replay: {"batch size": "batch"},
    gradient_variance: {"horizon T": "horizon", "reward +": "offset"},
    importance_weights: {"drift": "drift", "horizon T": "horizon"},
    mc_vs_td: {"episodes": "episodes", "error of V̂": "error", "noise σ": "noise", "γ": "gamma"},
    batch_td: {"first kind": "first", "sweep": "sweep"},
    discount: {"γ": "gamma", "lives": "lives"},
    ppo_clip: {"advantage A": "advantage", "ratio r": "ratio", "clip range ε": "clip", "policy moved σ": "spread"},
    gae: {"λ": "gae_lambda", "γ": "gamma", "rollout T": "steps", "critic error": "error", "reward noise": "noise"},
    actor_climb: {
        "start": "start",
        "steps": "steps",
        "noise": "noise",
        "false peak": "peak",
        "smoothing σ": "smoothing",
    },
    target_delay: {"delay d": "delay", "γ": "gamma", "noise": "noise"},
    four_goals: {"temperature α": "temperature", "x": "x", "y": "y"},
    squashed_gaussian: {"mean μ": "mean", "spread σ": "std"},
    hindsight: {"copies k": "k", "walk": "episode", "step": "step", "draw": "draw"},
    lap_sampling: {"exponent α": "exponent", "draw": "draw"},
    embeddings: {"look": "look"},
    seed_lottery: {"seeds n": "n", "draw": "draw"},
    live_run: {"deadline [s]": "deadline"},
    checkpoints: {"gain": "gain", "falls, p": "fall", "spread": "spread"},
}


@pytest.fixture(scope="module", params=SLIDERS, ids=lambda module: module.__name__.rpartition(".")[2])
def opened(request: pytest.FixtureRequest, lab: Lab) -> Iterator[tuple[ModuleType, Notebook]]:
    name = request.param.__name__.rpartition(".")[2]
    with lab.notebook(f"from rlcourse.widgets import {name}\n{name}.widget()") as notebook:
        yield request.param, notebook


@pytest.fixture
def shown(opened: tuple[Any, Notebook]) -> tuple[Any, Notebook]:
    module, notebook = opened
    notebook.run()
    notebook.expect_picture(described(module))
    return module, notebook


def described(module: Any, preset: str | None = None, **changes: Any) -> str:
    values = module.PRESETS[preset or next(iter(module.PRESETS))] | changes
    return str(module.describe(module.compute(**values)))


def test_sliders(shown: tuple[Any, Notebook]) -> None:
    module, notebook = shown
    changes: dict[str, Any] = {}
    for label, parameter in SLIDERS[module].items():
        whole = isinstance(next(iter(module.PRESETS.values()))[parameter], int)
        for key in ("Home", "End", "ArrowLeft"):
            notebook.slider(label).press(key)
            value = notebook.readout(label)
            changes[parameter] = int(value) if whole else value
            notebook.expect_picture(described(module, **changes))


def test_presets(shown: tuple[Any, Notebook]) -> None:
    module, notebook = shown
    for name in [*module.PRESETS][1:]:
        before = notebook.alt()
        notebook.dropdown("preset").select_option(name)
        notebook.expect_picture(described(module, name))
        assert notebook.alt() != before


def test_by_keyboard_and_drawn_once(shown: tuple[Any, Notebook]) -> None:
    module, notebook = shown
    notebook.page.locator(".jp-Cell .jp-InputPrompt").first.click()
    notebook.tab_to("preset")
    notebook.settle()
    notebook.count_redraws()
    notebook.page.keyboard.press("ArrowDown")
    notebook.expect_picture(described(module, [*module.PRESETS][1]))
    assert set(SLIDERS[module]) <= set(notebook.tab_to("picture"))
    notebook.settle()
    assert notebook.redraws() == 1


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size['width']}")
def test_no_blemishes(shown: tuple[Any, Notebook], size: ViewportSize) -> None:
    _, notebook = shown
    notebook.resize(size)
    assert notebook.blemishes() == []


def test_play(lab: Lab) -> None:
    with lab.notebook("from rlcourse.widgets import deadly_triad\ndeadly_triad.widget(step=97)") as notebook:
        notebook.run()
        notebook.expect_picture(described(deadly_triad, step=97))
        notebook.page.locator(".widget-play button").first.click()
        notebook.expect_picture(described(deadly_triad, step=deadly_triad.STEPS))


def test_causality_and_baseline(lab: Lab) -> None:
    with lab.notebook("from rlcourse.widgets import gradient_variance\ngradient_variance.widget()") as notebook:
        notebook.run()
        notebook.expect_picture(described(gradient_variance))
        notebook.page.get_by_role("checkbox").click()
        notebook.expect_picture(described(gradient_variance, causality=True))
        notebook.dropdown("baseline").select_option("leave one out")
        notebook.expect_picture(described(gradient_variance, causality=True, baseline="leave one out"))


def test_steps_up_to_monte_carlo(lab: Lab) -> None:
    with lab.notebook("from rlcourse.widgets import mc_vs_td\nmc_vs_td.widget()") as notebook:
        notebook.run()
        notebook.expect_picture(described(mc_vs_td))
        notebook.slider("n").press("End")
        notebook.expect_picture(described(mc_vs_td, n=mc_vs_td.INFINITE))


def test_play_of_batches(lab: Lab) -> None:
    with lab.notebook("from rlcourse.widgets import batch_td\nbatch_td.widget(sweep=57)") as notebook:
        notebook.run()
        notebook.expect_picture(described(batch_td, sweep=57))
        notebook.page.locator(".widget-play button").first.click()
        notebook.expect_picture(described(batch_td, sweep=batch_td.SWEEPS))


def test_without_episodes_it_says_so(lab: Lab) -> None:
    with lab.notebook("from rlcourse.widgets import batch_td\nbatch_td.widget(second=0, third=0)") as notebook:
        notebook.run()
        shown = described(batch_td, second=0, third=0)
        notebook.expect_picture(shown)
        notebook.slider("first kind").press("Home")
        notebook.page.get_by_text("no episodes: nothing can be learned").wait_for()
        assert notebook.alt() == shown
