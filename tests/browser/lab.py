"""A real JupyterLab in a real browser, for tests and benchmarks of widgets.

    with jupyterlab(folder, find_browser()) as lab, lab.notebook("...", "q_stepper.widget()") as notebook:
        notebook.run()
        notebook.slider("γ").press("End")
        notebook.expect_picture(alt=...)

Nothing here sleeps: whatever takes time is waited for by its result.
"""

import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nbformat
from nbformat.v4 import new_notebook
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, ViewportSize, expect, sync_playwright

from rlcourse.operations.publish import KERNELSPEC

# Seconds by the clock, for each answer of a page or a server; only a test that fails waits so long. The thumbnails of
# all demos take half a minute of a processor, which beside eight other jobs is several minutes.
PATIENCE = 600
expect.set_options(timeout=1000 * PATIENCE)
SCREEN: ViewportSize = {"width": 1280, "height": 900}
SIZES: tuple[ViewportSize, ...] = (SCREEN, {"width": 1024, "height": 768}, {"width": 853, "height": 600})  # last: 150 %
PANEL = "window.jupyterapp.shell.currentWidget"
SESSION = f"{PANEL}?.sessionContext"


@dataclass
class Notebook:
    """One notebook, open in one page of the browser."""

    page: Page
    folder: Path
    errors: list[str] = field(default_factory=list)  # of the browser's console, of the page, of widgets' callbacks

    def ready(self) -> None:
        """Wait for the kernel; after a reload too."""
        expect(self.page.locator(".jp-Notebook .jp-Cell").first).to_be_visible()
        self.page.wait_for_function(f"() => {SESSION}?.session?.kernel?.status === 'idle'")
        # An exception in a widget's callback reaches no cell: JupyterLab hides it in a log that nobody opens.
        self.page.evaluate(f"""() => {SESSION}.iopubMessage.connect((_, message) => {{
            if (message.header.msg_type === "error") console.error(message.content.traceback.join("\\n"));
        }})""")

    def run(self) -> None:
        """Run all cells, from empty outputs: a widget is a new one afterwards."""
        self.page.set_viewport_size(SCREEN)
        self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
        expect(self.page.locator(".jp-OutputArea-child")).to_have_count(0)
        self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")

    def replace(self, *sources: str) -> None:
        """Have these code cells instead of those that are there; saved, so that a reload shows them too."""
        cells = [{"cell_type": "code", "source": source} for source in sources]
        self.page.evaluate(
            f"""async (cells) => {{
                const model = {PANEL}.content.model.sharedModel;
                model.transact(() => {{
                    model.deleteCellRange(0, model.cells.length);
                    model.insertCells(0, cells);
                }});
                await {PANEL}.context.save();
            }}""",
            cells,
        )

    def settle(self) -> None:
        """Wait until the kernel has answered all that was done before: what has not changed by now will not."""
        self.page.evaluate(f"() => {SESSION}.session.kernel.requestExecute({{ code: '', silent: true }}).done")

    def cells(self) -> list[dict[str, Any]]:
        """All of them, with their outputs, as they would be saved."""
        return list(self.page.evaluate(f"() => {PANEL}.content.model.sharedModel.cells.map((cell) => cell.toJSON())"))

    def view(self, number: int) -> Locator:
        """A cell, brought into view: those far away are not drawn."""
        self.page.evaluate(f"async () => await {PANEL}.content.scrollToItem({number}, 'start')")
        return self.page.locator(f'.jp-Cell[data-windowed-list-index="{number}"]')

    @property
    def picture(self) -> Locator:
        return self.page.locator(".rlcourse-picture")

    def expect_picture(self, alt: str) -> None:
        """Wait until the picture says this, and stands still."""
        words = """(alt) => {
            const picture = document.querySelector(".rlcourse-picture");
            const still = picture?.closest(".rlcourse-scene").dataset.still === "true";
            return still && picture?.getAttribute("aria-label") === alt;
        }"""
        self.page.wait_for_function(words, arg=alt)

    def alt(self) -> str:
        return self.picture.get_attribute("aria-label") or ""

    def expect_scene(self, scene: dict[str, Any]) -> None:
        """Wait until the browser has drawn this one to its end: headline, words and every mark of the main views."""
        wanted = drawn(scene)
        self.page.wait_for_function(
            """(wanted) => {
                const root = document.querySelector(".rlcourse-scene"), svg = root?.querySelector("svg");
                if (!svg || root.querySelector("p").textContent !== wanted.headline) return false;
                const words = [...svg.querySelectorAll("text")].map((text) => text.textContent);
                const counted = (tag) => svg.querySelectorAll(`${tag}.mark`).length;
                const complete = Object.entries(wanted.count).every(([tag, n]) => counted(tag) === n);
                return complete && wanted.words.every((word) => words.includes(word));
            }""",
            arg=wanted,
        )

    def labelled(self, kind: str, label: str) -> Locator:
        """The control of an ipywidgets class (`widget-slider`, say) with this description."""
        return self.page.locator(f".{kind}", has=self.page.get_by_text(label, exact=True))

    def slider(self, label: str) -> Locator:
        """What takes the keys: arrows, Home, End, Page up and down."""
        return self.labelled("widget-slider", label).get_by_role("slider")

    def readout(self, label: str) -> float:
        return float(self.labelled("widget-slider", label).locator(".widget-readout").inner_text().replace("−", "-"))

    def dropdown(self, label: str) -> Locator:
        return self.labelled("widget-dropdown", label).locator("select")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def checkbox(self, label: str) -> Locator:
        return self.labelled("widget-checkbox", label).locator("input")

    def latencies(self, label: str, moves: int) -> list[float]:
        """Seconds from each press of → on this slider until the new picture is painted; at its end ← goes back.

        So hardly a value comes twice, and a widget that keeps what it computed gains nothing.

        By the browser's own clock, which a callback of an animation frame reaches before the frame is painted, and a
        message that it sends to itself afterwards.
        """
        slider, seconds, key = self.slider(label), [], "ArrowRight"
        ends = {"aria-valuemax": "ArrowLeft", "aria-valuemin": "ArrowRight"}
        for _ in range(moves):
            now = slider.get_attribute("aria-valuenow")
            key = next((back for end, back in ends.items() if slider.get_attribute(end) == now), key)
            self.page.evaluate("""() => {
                let pressed;
                const press = () => { pressed = performance.now(); };
                document.addEventListener("keydown", press, { capture: true, once: true });
                window.waited = new Promise((resolve) => {
                    const { port1, port2 } = new MessageChannel();
                    port1.onmessage = () => resolve((performance.now() - pressed) / 1000);
                    const observer = new MutationObserver(() => {
                        if (pressed === undefined) return; // the last move's motion
                        observer.disconnect();
                        requestAnimationFrame(() => port2.postMessage("painted"));
                    });
                    const picture = document.querySelector(".rlcourse-picture");
                    observer.observe(picture, { childList: true });
                });
            }""")
            slider.press(key)
            seconds.append(float(self.page.evaluate("() => window.waited")))
        return seconds

    def tab_to(self, wanted: str) -> list[str]:
        """Press Tab until the control with this description has the keyboard; all that were passed, it included.

        A slider's readout, which can be typed into after a click, is passed by; so Tab comes to each control once.
        """
        expect(self.page.locator(".rlcourse-keys").first).to_be_attached()  # before, arrows would leave the cell
        passed: list[str] = []
        while wanted not in passed:
            assert len(passed) < 50, f"Tab never came to {wanted!r} but passed {passed}"
            self.page.keyboard.press("Tab")
            name = self.page.evaluate("""() => {
                const part = document.activeElement;
                if (part.matches(".rlcourse-picture")) return "picture";
                if (part.matches(".handle")) return part.getAttribute("aria-label");
                if (part.matches("button")) return part.textContent || part.getAttribute("aria-label");
                const label = part.labels?.[0] ?? part.closest(".widget-inline-hbox")?.querySelector("label");
                return label?.textContent ?? "";
            }""")
            passed.append(str(name).strip(" \u200b"))
        return passed

    def resize(self, size: ViewportSize) -> None:
        """Make the window that large until the next `run`, and wait until the notebook has followed."""
        self.page.set_viewport_size(size)
        self.page.wait_for_function(f"() => {PANEL}.node.getBoundingClientRect().right <= window.innerWidth")
        self.picture.scroll_into_view_if_needed()

    def smallest_letters(self) -> float:
        """Of the picture and of the names of controls, in pixels of the screen."""
        return float(
            self.page.evaluate("""() => {
                const zoom = Number(getComputedStyle(document.documentElement).getPropertyValue("--fill")) || 1;
                const parts = document.querySelectorAll(".widget-label, .widget-readout, .rlcourse-picture text");
                const size = (part) => parseFloat(getComputedStyle(part).fontSize);
                return zoom * Math.min(...[...parts].filter((part) => part.textContent).map(size));
            }""")
        )

    def blemishes(self) -> list[str]:
        """Controls' texts that do not fit their place, tooltips that say nothing, and what sticks out to the right."""
        found = self.page.locator(".jp-OutputArea-output").evaluate_all("""(outputs) => outputs.flatMap((output) => {
            const edge = output.getBoundingClientRect().right + 0.5;
            return [...output.querySelectorAll(".jupyter-widgets *")].filter((part) =>
                part.getBoundingClientRect().right > edge && part.tagName !== "OPTION" &&
                    part.tagName !== "g" && !part.closest("[clip-path]") || // cut off where the picture ends
                part.matches(".widget-label, .widget-readout, button") && part.scrollWidth > part.clientWidth
                || part.title === "null" && part.checkVisibility()
            ).map((part) => part.textContent || part.tagName);
        })""")
        return [str(text) for text in found]

    def hear(self, said: ConsoleMessage) -> None:
        """Keep an error. JupyterLab asks for an attached image by a name that no browser knows, then by its content."""
        address = said.location["url"]
        if said.type == "error" and not address.startswith("attachment:"):
            self.errors.append(f"{said.text} {address}")

    def missing_images(self) -> list[str]:
        """What stands in the place of images that did not come."""
        images = self.page.locator(".jp-Notebook img")
        found = images.evaluate_all("(all) => all.filter((x) => x.complete && !x.naturalWidth).map((x) => x.alt)")
        return [str(text) for text in found]

    def unfold(self) -> None:
        """Open "more settings" where there are some, and leave them open."""
        header = self.page.locator(".jupyter-widget-Collapse-header", has_text="more settings")
        if header.count() and not self.page.locator(".jupyter-widget-Collapse-open").count():
            header.click()
            expect(self.page.locator(".jupyter-widget-Collapse-open")).to_have_count(1)

    def count_redraws(self) -> None:
        """From now on `redraws()` says how often another picture came."""
        self.picture.evaluate("""(picture) => {
            window.redraws = 0;
            new MutationObserver((changes) => { window.redraws += changes.length; })
                .observe(picture.closest(".rlcourse-scene"), { attributeFilter: ["data-scenes"] });
        }""")

    def redraws(self) -> int:
        return int(self.page.evaluate("() => window.redraws"))


def drawn(scene: dict[str, Any]) -> dict[str, Any]:
    """What a scene's main views come to in SVG: how many elements of each kind, and which words among others."""
    count = dict.fromkeys(("path", "circle", "rect", "polygon"), 0)
    words = [view["title"] for view in scene["main"] if view["title"]]
    for mark in (mark for view in scene["main"] for mark in view["marks"]):
        match mark["kind"]:
            case "line" | "area":
                count["path"] += 1
            case "dots":
                count["circle"] += sum(None not in place for place in zip(mark["x"], mark["y"], strict=True))
            case "handle":
                count["circle"] += 1
            case "bars":
                count["rect"] += len(mark["x"])
            case "patches":
                count["polygon"] += len(mark["corners"])
            case "text":
                words += mark["words"]
        words += [mark["label"]] if mark.get("label") and mark["kind"] not in ("handle", "text") else []
    return {"headline": scene["headline"], "count": count, "words": words}


@dataclass
class Lab:
    """A running JupyterLab, whose files lie in `root`, and a browser to look at it with."""

    url: str
    token: str
    root: Path
    browser: Browser
    notebooks: list[Notebook] = field(default_factory=list)  # those that are looked at now
    idle: list[Notebook] = field(default_factory=list)  # with a kernel that has the course imported

    @contextmanager
    def notebook(self, *sources: str) -> Iterator[Notebook]:
        """A notebook with these code cells, in a folder of its own.

        Its page and its kernel may have served before: to start them and to import the course takes ten seconds.
        """
        notebook = self.idle.pop() if self.idle else self._opened(self._written())
        try:
            notebook.replace(*sources)
            with self.watched(notebook):
                yield notebook
            notebook.replace("import ipywidgets\nipywidgets.Widget.close_all()")
            notebook.run()
            notebook.settle()
        except BaseException:
            notebook.page.close()
            raise
        self.idle.append(notebook)

    @contextmanager
    def page(self, address: str, size: ViewportSize = SCREEN) -> Iterator[Notebook]:
        """Open a page that is no notebook of this server; nothing may be fetched from elsewhere."""
        with self.waiting_page(address, size) as shown, self.watched(shown):
            yield shown

    @contextmanager
    def waiting_page(self, address: str, size: ViewportSize = SCREEN) -> Iterator[Notebook]:
        """The same for a page that serves several tests, each of which watches it while it is looked at."""
        shown, elsewhere = self._page(Path(), size), list[str]()
        shown.page.on("request", lambda asked: elsewhere.append(asked.url) if _foreign(asked.url, address) else None)
        with closing(shown.page):
            shown.page.goto(address)
            yield shown
            assert elsewhere == []

    @contextmanager
    def open(self, path: Path) -> Iterator[Notebook]:
        """Open a notebook that lies below `root`, with its kernel ready; shut both down in the end."""
        notebook = self._opened(path)
        with closing(notebook.page), self.watched(notebook):
            try:
                yield notebook
            finally:
                notebook.page.evaluate(f"() => {SESSION}.shutdown()")

    def _written(self) -> Path:
        """An empty notebook in a folder of its own."""
        folder = self.root / secrets.token_hex(4)
        folder.mkdir()
        nbformat.write(new_notebook(metadata={"kernelspec": KERNELSPEC}), folder / "test.ipynb")
        return folder / "test.ipynb"

    def _opened(self, path: Path) -> Notebook:
        notebook = self._page(path.parent, SCREEN)
        notebook.page.goto(f"{self.url}/doc/tree/{path.relative_to(self.root).as_posix()}?token={self.token}")
        notebook.ready()
        return notebook

    def _page(self, folder: Path, size: ViewportSize) -> Notebook:
        """A page of the browser; what is said in its console is collected."""
        page = self.browser.new_page(viewport=size)
        page.set_default_timeout(1000 * PATIENCE)
        notebook = Notebook(page, folder)
        page.on("console", notebook.hear)
        page.on("pageerror", lambda error: notebook.errors.append(f"{error}\n{error.stack}"))
        return notebook

    @contextmanager
    def watched(self, notebook: Notebook) -> Iterator[None]:
        """Photographed after each test; whatever was said in the console meanwhile is an error."""
        self.notebooks.append(notebook)
        try:
            yield
            assert not notebook.errors, "\n".join(notebook.errors)
        finally:
            self.notebooks.remove(notebook)


def _foreign(url: str, address: str) -> bool:
    return url.startswith("http") and urlsplit(url).netloc != urlsplit(address).netloc


@contextmanager
def jupyterlab(folder: Path, executable: str) -> Iterator[Lab]:
    """Start JupyterLab and the browser `executable`; both keep everything in `folder`, nothing of the user's counts."""
    root, log = folder / "root", folder / "lab.log"
    root.mkdir(parents=True)
    port = free_port()
    token, url = secrets.token_hex(), f"http://127.0.0.1:{port}"
    # Without this, JupyterLab asks in a corner of every screenshot whether to fetch news.
    settings = folder / "JUPYTER_CONFIG_DIR/lab/user-settings/@jupyterlab/apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}')
    own = {name: str(folder / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]  # root: as in a container
    options = {
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.root_dir": root,
        "LabApp.expose_app_in_browser": True,  # gives the page `jupyterapp`
        "LabApp.extension_manager": "readonly",  # and asks no server of the outside world
    }
    command += [f"--{name}={value}" for name, value in options.items()]
    with log.open("w") as out:
        server = subprocess.Popen(command, stdout=out, stderr=out, env=os.environ | own | {"JUPYTER_TOKEN": token})
        try:
            wait_for(server, f"{url}/api", log)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=executable, args=["--disable-gpu"])
                yield Lab(url, token, root, browser)
                browser.close()
        finally:
            server.terminate()
            server.wait(PATIENCE)


def free_port() -> int:
    """One that nothing listens on here, so far."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(server: subprocess.Popen[Any], address: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(address, timeout=PATIENCE).close()
            return
        except OSError:
            if server.poll() is not None:
                break
            time.sleep(0.1)
    raise RuntimeError(f"the server did not start:\n{log.read_text()[-2000:]}")
