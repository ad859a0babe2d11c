"""Every widget, in JupyterLab and as a demo: each of its controls moved, and the picture compared with a twin's.

The twin is the same widget without a browser: what is done to a control here is done to its control there, and the
browser must come to show what the twin's scene holds: headline, words and marks. So no widget needs a table of its own.
"""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import ipywidgets
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import ViewportSize, expect

from rlcourse import demos as pages
from rlcourse.widgets import batch_td, deadly_triad, gae
from rlcourse.widgets.scene import COLORS, NIGHT
from tests.browser.conftest import ARTIFACTS
from tests.browser.lab import SESSION, SIZES, Lab, Notebook
from tests.test_scenes import NIGHT_PAPER

pytestmark = pytest.mark.browser
QUESTIONS = {name: question for asked in pages.questions().values() for name, question in asked.items()}
NAMES = list(QUESTIONS)
PROJECTORS: tuple[ViewportSize, ...] = (
    {"width": 1280, "height": 720},
    {"width": 1024, "height": 768},
    {"width": 1920, "height": 1080},
)


@dataclass
class Shown:
    """A widget on a page, and its twin."""

    page: Notebook
    twin: Any
    demo: bool

    def agree(self) -> None:
        self.page.expect_picture(self.twin.picture.alt)
        self.page.expect_scene(self.twin.picture.scene)

    def controls(self) -> dict[str, Any]:
        """What a person can move, by label; a Play button only moves its slider."""
        named = {each.description: each for each in parts(self.twin) if hasattr(each, "value") and each.description}
        return {"preset": next(each for each in parts(self.twin) if isinstance(each, ipywidgets.ToggleButtons))} | named

    def put(self, label: str, value: Any) -> None:
        """Move a control on the page and the twin's to the same value."""
        control = self.controls()[label]
        self.page.unfold()
        match control:
            case ipywidgets.Checkbox():
                self.page.checkbox(label).set_checked(value)
            case ipywidgets.ToggleButtons():
                self.page.button(words(control)[choices(control).index(value)]).click()
            case ipywidgets.Dropdown():
                self.page.dropdown(label).select_option(index=choices(control).index(value))
            case ipywidgets.SelectionSlider():
                self._slide(label, choices(control).index(value))
            case _ if value in (control.min, control.max):
                self.page.slider(label).press("Home" if value == control.min else "End")
            case _:
                readout = self.page.labelled("widget-slider", label).locator(".widget-readout")
                readout.fill(format(value, control.readout_format))
                readout.press("Enter")
        control.value = value
        self.agree()

    def _slide(self, label: str, place: int) -> None:
        """To an end at once; else from the left end key by key, each answered: the keys of a hurry may arrive late."""
        control, slider = self.controls()[label], self.page.slider(label)
        last = len(choices(control)) - 1
        slider.press("End" if place == last else "Home")
        control.index = last if place == last else 0
        while control.index < place:
            self.agree()
            slider.press("ArrowRight")
            control.index += 1


def parts(box: Any) -> Iterator[Any]:
    """All that stands in a box and in the boxes in it."""
    for child in box.children:
        yield child
        if hasattr(child, "children"):
            yield from parts(child)


def choices(control: Any) -> list[Any]:
    """What it can be set to, from one end to the other."""
    if isinstance(control, ipywidgets.Checkbox):
        return [False, True]
    if hasattr(control, "options"):
        return [option[1] if isinstance(option, tuple) else option for option in control.options]
    return [*np.arange(control.min, control.max, control.step).round(9).tolist(), control.max]


def words(control: Any) -> list[str]:
    """What stands on its buttons."""
    return [option[0] if isinstance(option, tuple) else option for option in control.options]


def moves(control: Any, between: bool) -> list[Any]:
    """One end, a random place between if wanted, the other end; the last is not where the control stands now."""
    values = choices(control)
    first, last = (values[0], values[-1]) if control.value != values[-1] else (values[-1], values[0])
    return [first, *([values[np.random.default_rng(0).integers(len(values))]] if between else []), last]


@pytest.fixture(scope="module")
def contact_sheet() -> Iterator[dict[str, bytes]]:
    """Pictures by name, for a person to look at: artifacts/browser/contact_sheet.png."""
    shots: dict[str, bytes] = {}
    yield shots
    if not shots:
        return
    width, height, columns = 640, 360, 3
    sheet = Image.new("RGB", (columns * width, -(-len(shots) // columns) * height))
    for place, shot in enumerate(shots.values()):
        row, column = divmod(place, columns)
        sheet.paste(Image.open(io.BytesIO(shot)).resize((width, height)), (column * width, row * height))
    sheet.save(ARTIFACTS / "contact_sheet.png")


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# Demos differ from a notebook by their page, which is the same for all: `stage` is that page and shows one widget after
# the other. To open each demo as it is served, with a kernel of its own, and to move everything there once more, where
# each control also stops between its ends, takes ten minutes.
BOTH = pytest.mark.parametrize(
    "shown", ["lab", "stage", pytest.param("demo", marks=pytest.mark.slow)], indirect=True, scope="module"
)
LAB_AT_ONCE = pytest.mark.parametrize(
    "shown", ["lab", pytest.param("demo", marks=pytest.mark.slow)], indirect=True, scope="module"
)


@pytest.fixture(scope="module")
def stage(lab: Lab, demos: str) -> Iterator[Notebook]:
    with lab.waiting_page(f"{demos}/voila/render/stage.ipynb", PROJECTORS[0]) as page:
        page.page.wait_for_function("() => window.stage")
        yield page


@pytest.fixture(scope="module")
def shown(request: pytest.FixtureRequest, name: str, lab: Lab) -> Iterator[Shown]:
    twin = import_module(f"rlcourse.widgets.{name}").widget()
    match request.param:
        case "lab":
            with lab.notebook(f"from rlcourse.widgets import {name}\n{name}.widget()") as page:
                page.run()
                yield Shown(page, twin, demo=False)
        case "stage":
            page = request.getfixturevalue("stage")
            page.page.set_viewport_size(PROJECTORS[0])
            with lab.watched(page):
                page.page.evaluate("(name) => window.stage(name)", name)
                page.page.locator("h1").evaluate(
                    "(heading, text) => { heading.firstChild.textContent = text; }", QUESTIONS[name]
                )
                yield Shown(page, twin, demo=True)
        case "demo":
            with lab.page(f"{request.getfixturevalue('demos')}/voila/render/{name}.ipynb", PROJECTORS[0]) as page:
                yield Shown(page, twin, demo=True)


@BOTH
def test_it_fits(shown: Shown, name: str, contact_sheet: dict[str, bytes]) -> None:
    """Nothing to scroll, nothing cut off; a demo also fills the screen with letters that the last row can read."""
    shown.agree()
    for size in PROJECTORS if shown.demo else SIZES:
        if shown.demo:
            shown.page.page.set_viewport_size(size)
            fills(shown.page)
            contact_sheet.setdefault(name, shown.page.page.screenshot())
        else:
            shown.page.resize(size)
        assert shown.page.smallest_letters() >= (14 if shown.demo else 11)
        assert shown.page.blemishes() == []


@LAB_AT_ONCE
def test_every_preset(shown: Shown) -> None:
    for preset in reversed(choices(shown.controls()["preset"])):
        shown.put("preset", preset)


@LAB_AT_ONCE
def test_every_control(shown: Shown) -> None:
    presets = choices(shown.controls()["preset"])
    for label, control in shown.controls().items():
        if label == "preset":
            continue
        for preset in (None, *presets):  # some controls have a say in some of them only
            if preset is not None:
                shown.put("preset", preset)
            pictures = {json.dumps(shown.twin.picture.scene)}
            for value in [] if control.disabled else moves(control, between=shown.demo):
                shown.put(label, value)
                pictures.add(json.dumps(shown.twin.picture.scene))
            if len(pictures) > 1:
                break
        else:
            pytest.fail(f"{label} changes the picture from no preset")


@BOTH
def test_by_keyboard_and_drawn_once(shown: Shown) -> None:
    page, controls = shown.page, shown.controls()
    page.unfold()
    shown.put("preset", choices(controls["preset"])[0])
    if shown.demo:
        page.page.mouse.click(1, 1)
    else:
        page.page.locator(".jp-Cell .jp-InputPrompt").first.click()
    second = choices(controls["preset"])[1]
    passed = page.tab_to(second)
    page.count_redraws()
    page.page.keyboard.press("Enter")
    controls["preset"].value = second
    shown.agree()
    controls.pop("preset")
    # Of buttons each has the keyboard in turn, under its own name.
    reached = {label: control for label, control in controls.items() if not control.disabled}
    names = [
        words(each)[-1] if isinstance(each, ipywidgets.ToggleButtons) else label for label, each in reached.items()
    ]
    passed += page.tab_to("picture" if shown.twin.picture.takes_keys else names[-1])
    assert set(names) <= set(passed)
    if not shown.demo:
        page.settle()
    assert page.redraws() == 1


def fills(demo: Notebook) -> None:
    demo.page.wait_for_function(
        "() => document.querySelector('.rlcourse-picture').getBoundingClientRect().width >= 0.8 * innerWidth"
    )
    width, height, across, down = demo.page.evaluate("""() => {
        const root = document.documentElement;
        return [innerWidth, innerHeight, root.scrollWidth, root.scrollHeight];
    }""")
    assert across <= width
    assert down <= height
    assert demo.smallest_letters() >= 14


@pytest.mark.parametrize(
    ("source", "module", "parameter", "end"),
    [("deadly_triad.widget(step=97)", deadly_triad, "step", deadly_triad.STEPS),
     ("batch_td.widget(sweep=57)", batch_td, "sweep", batch_td.SWEEPS)],
)  # fmt: skip
def test_play(lab: Lab, source: str, module: Any, parameter: str, end: int) -> None:
    with lab.notebook(f"from rlcourse.widgets import {module.__name__.rpartition('.')[2]}\n{source}") as notebook:
        notebook.run()
        notebook.picture.wait_for()
        notebook.unfold()
        notebook.page.locator(".widget-play button").first.click()
        values = next(iter(module.PRESETS.values()))
        notebook.expect_picture(module.describe(module.compute(**values | {parameter: end})))
        expect(notebook.page.locator(".widget-play .fa-pause")).to_have_count(0)  # it stops at the end


def test_pictures_come_during_a_drag_and_a_handle_is_one_more_slider(lab: Lab) -> None:
    """The button stays down until ten pictures have come: how long that takes is for `make bench`."""
    with lab.notebook("from rlcourse.widgets import gae\ngae.widget(gae_lambda=0.0)") as notebook:
        notebook.run()
        twin = gae.widget(gae_lambda=0.0)
        notebook.expect_scene(twin.picture.scene)
        notebook.count_redraws()
        mouse, handle = notebook.page.mouse, notebook.page.locator(".handle")
        box, area = handle.bounding_box(), notebook.picture.bounding_box()
        assert box is not None
        assert area is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        mouse.move(x, y)
        mouse.down()
        while notebook.redraws() < 10:
            x = area["x"] + (x - area["x"] + 37) % (0.6 * area["width"])
            mouse.move(x, y)
            notebook.page.wait_for_timeout(20)
        mouse.move(area["x"] + area["width"], y)
        mouse.up()
        twin.controls["gae_lambda"].value = 1.0
        notebook.expect_scene(twin.picture.scene)
        assert notebook.readout("λ") == 1
        for key, value in (("Home", 0.0), ("End", 1.0), ("ArrowLeft", 0.95)):
            handle.press(key)
            twin.controls["gae_lambda"].value = value
            notebook.expect_scene(twin.picture.scene)
        handle.hover()
        tip = notebook.page.locator(".rlcourse-scene .tip")
        tip.wait_for()
        assert tip.inner_text().startswith("λ: 0.95\n")


def test_by_night_it_is_drawn_in_colours_of_the_night(lab: Lab) -> None:
    """That these can be read on the theme's paper is a test without a browser; here, that they are what is drawn."""
    with lab.notebook("from rlcourse.widgets import gae\ngae.widget()") as notebook:
        notebook.run()
        notebook.expect_picture(gae.widget().picture.alt)

        def wear(theme: str) -> None:
            change = "(theme) => window.jupyterapp.commands.execute('apputils:change-theme', { theme })"
            notebook.page.evaluate(change, theme)
            # JupyterLab covers the page meanwhile, and takes the cover away twice if the theme changes again too soon.
            expect(notebook.page.locator("#jupyterlab-splash")).to_have_count(0)

        try:
            wear("JupyterLab Dark")
            expect(notebook.picture.get_by_text("best")).to_have_attribute("fill", NIGHT["ink"])
            expect(notebook.picture.get_by_text("variance", exact=True)).to_have_attribute("fill", NIGHT["sky"])
            paper = "() => getComputedStyle(document.body).getPropertyValue('--jp-layout-color0').trim()"
            assert notebook.page.evaluate(paper).upper() in (NIGHT_PAPER, f"#{NIGHT_PAPER[-3:]}")
        finally:
            wear("JupyterLab Light")
        expect(notebook.picture.get_by_text("best")).to_have_attribute("fill", COLORS["ink"])


def test_after_a_restart_of_the_kernel_it_says_that_nothing_answers(lab: Lab) -> None:
    with lab.notebook("from rlcourse.widgets import gae\ngae.widget()") as notebook:
        notebook.run()
        notebook.expect_picture(gae.widget().picture.alt)
        assert not notebook.page.get_by_text("Not connected").is_visible()
        notebook.page.evaluate(f"() => {SESSION}.session.kernel.restart()")
        notebook.page.get_by_text("Not connected: run this cell again.").wait_for()
        notebook.run()
        notebook.expect_picture(gae.widget().picture.alt)


def test_without_episodes_it_says_so(lab: Lab) -> None:
    with lab.notebook("from rlcourse.widgets import batch_td\nbatch_td.widget(second=0, third=0)") as notebook:
        notebook.run()
        values = next(iter(batch_td.PRESETS.values())) | {"second": 0, "third": 0}
        shown = batch_td.describe(batch_td.compute(**values))
        notebook.expect_picture(shown)
        notebook.unfold()
        notebook.slider("first kind").press("Home")
        notebook.page.get_by_text("no episodes: nothing can be learned").wait_for()
        assert notebook.alt() == shown
