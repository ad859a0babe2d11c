"""One JupyterLab and one browser for all tests in this folder; a screenshot after each; silence in the console."""

import os
import re
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from rlcourse.operations.doctor import find_browser
from rlcourse.operations.publish import KERNELSPEC
from tests.browser.lab import PATIENCE, Lab, free_port, jupyterlab, wait_for

ARTIFACTS = Path(__file__).parents[2] / "artifacts" / "browser"
# A page and a kernel of its own for each demo would take ten seconds of a processor each: here one serves them all.
STAGE = """
from importlib import import_module

import anywidget
import ipywidgets
import traitlets


class Asked(anywidget.AnyWidget):
    _esm = '''
    export default { render({ model }) {
        window.stage = (name) => { model.set("name", name); model.save_changes(); }
    } }
    '''
    name = traitlets.Unicode().tag(sync=True)


asked, shown = Asked(layout={"display": "none"}), ipywidgets.VBox(layout={"margin": "0"})


def show(change):
    shown.children = [import_module(f"rlcourse.widgets.{change.new}").widget()]


asked.observe(show, "name")
ipywidgets.VBox([asked, shown], layout={"margin": "0"})
"""


# For the package, not the session: playwright leaves an event loop running in the main thread, and tests elsewhere
# that run a notebook would find it.
@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    browser = find_browser()
    if browser is None:
        reason = "no Chromium or Chrome on the PATH: install one, or name it in the environment variable CHROMIUM"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    with jupyterlab(tmp_path_factory.mktemp("lab") / "home", browser) as running:
        yield running


@pytest.fixture(scope="package")
def demos(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server of demos, with one page more: `stage`, which shows whatever widget it is asked for."""
    folder = tmp_path_factory.mktemp("demos")
    port = free_port()
    log = folder / "demos.log"
    with log.open("w") as out:
        command = [sys.executable, "-m", "rlcourse", "demo", "--no-browser", "--port", str(port)]
        process = subprocess.Popen(
            command, stdout=out, stderr=out, cwd=folder, env=os.environ | {"TMPDIR": str(folder)}
        )
        try:
            wait_for(process, f"http://127.0.0.1:{port}", log)
            (pages,) = folder.glob("rlcourse-demos-*/pages")
            cells = [new_markdown_cell("# Question"), new_code_cell(STAGE)]
            nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": KERNELSPEC}), pages / "stage.ipynb")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(PATIENCE)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Function) -> Generator[None, object, object]:
    """While the test's pages are still open, photograph them; whatever was said in the console fails the test."""
    lab = item.funcargs["lab"]
    assert isinstance(lab, Lab)
    notebooks = lab.notebooks
    try:
        result = yield
    finally:
        for number, notebook in enumerate(notebooks):
            name = re.sub(r"[^\w.-]+", "_", f"{item.path.stem}-{item.name}-{number}")
            notebook.page.screenshot(path=ARTIFACTS / f"{name}.png")
        said = [error for notebook in notebooks for error in notebook.errors]
        for notebook in notebooks:
            notebook.errors.clear()
    assert not said, "\n".join(said)
    return result
