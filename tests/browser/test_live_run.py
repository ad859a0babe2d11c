"""A run that trains before the room, in the demo server: it finishes, is stopped, started again, and falls back."""

import re

import pytest
from playwright.sync_api import expect

from rlcourse.widgets.scene import COLORS
from tests.browser.lab import Lab, Notebook

pytestmark = pytest.mark.browser


def shows(demo: Notebook, verdict: str) -> None:
    expect(demo.picture).to_have_attribute("aria-label", re.compile(verdict))


def test_a_live_run(lab: Lab, demos: str) -> None:
    with lab.page(f"{demos}/voila/render/live_run.ipynb") as demo:
        shows(demo, r"PPO on CartPole\. Recorded: 30 seeds\. Start trains a new one")
        expect(demo.button("Stop")).to_be_disabled()
        demo.slider("deadline [s]").press("End")  # so that a busy machine makes it too
        demo.button("Start").click()
        shows(demo, "Live: seed 1000, .* nothing yet")
        expect(demo.button("Start")).to_be_disabled()
        expect(demo.picture.get_by_text(re.compile(r"a training episode: return \d+"))).to_be_visible()
        # any evaluation but the last: on a fast machine the first is over before the page is looked at again
        shows(demo, r"Live: seed 1000, .* at step \d+\.")
        demo.button("Stop").click()
        shows(demo, "Live: seed 1000, stopped by hand")
        demo.button("Start").click()
        shows(demo, r"Live: seed 1001 has finished in \d+ seconds, \d+ at step 12288\.")
        expect(demo.button("Stop")).to_be_disabled()


def test_the_recorded_run_takes_over(lab: Lab, demos: str) -> None:
    with lab.page(f"{demos}/voila/render/live_run.ipynb") as demo:
        shows(demo, "PPO on CartPole")
        demo.button("5 seconds, too few: the recorded run takes over").click()
        shows(demo, r"DQN on CartPole\. Recorded: 20 seeds\. Start")
        taken_over = demo.picture.locator(f"path.mark[stroke='{COLORS['blue']}']")  # the recorded curve, put forward
        expect(taken_over).to_have_count(0)
        demo.button("Start").click()
        shows(demo, r"DQN on CartPole\. Recorded, not live: its 5 seconds were over at step \d+")
        expect(taken_over).to_have_count(1)
        expect(demo.button("5 seconds, too few: the recorded run takes over")).to_have_class(re.compile("mod-active"))
        expect(demo.button("Start")).to_be_enabled()
