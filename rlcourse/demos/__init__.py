"""`rlcourse demo`: every widget as a page of its own that fills a projector, and an index of them; needs no network."""

import os
from collections.abc import Mapping
from html import escape
from importlib import import_module
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from threading import Thread

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from rlcourse.operations.publish import KERNELSPEC

# What each widget answers, by lecture and module.
QUESTIONS: Mapping[str, Mapping[str, str]] = {
    "1 Tabular Q-iteration": {
        "q_stepper": "How does a reward travel through a world?",
        "exploration": "What does it cost to explore, and what not to?",
    },
    "2 DQN": {
        "overestimation": "Why is the largest of many guesses too high?",
        "deadly_triad": "Which three things together make values explode?",
        "replay": "What does a batch from the past contain?",
    },
    "3 Policy gradients": {
        "gradient_variance": "Where does the noise in a policy gradient come from?",
        "importance_weights": "How long can old data speak for a new policy?",
    },
    "4 Actor-critic": {
        "batch_td": "Same data, two answers: what do Monte Carlo and TD believe?",
        "mc_vs_td": "Bias or variance: how many rewards before the guess?",
        "discount": "What has a discount to do with dying?",
    },
    "5 PPO": {
        "ppo_clip": "When does a clipped sample stop pushing?",
        "gae": "What does λ choose?",
        "seed_lottery": "Which is better, if one asks three seeds?",
    },
    "6 DDPG and TD3": {
        "actor_climb": "Does an actor that climbs its critic get to the top?",
        "target_delay": "What do a slow target and a delayed actor calm down?",
    },
    "7 SAC": {
        "four_goals": "Can one policy want four things at once?",
        "squashed_gaussian": "How likely is an action that went through tanh?",
    },
    "8 HER": {
        "hindsight": "What can be learned from a walk that failed?",
    },
    "9 TD7": {
        "lap_sampling": "Who should pull, and how hard?",
        "embeddings": "What keeps an embedding alive?",
        "checkpoints": "Which policy is the best so far?",
    },
    "Any lecture": {
        "live_run": "What does learning look like while it happens?",
        "diagnosis": "What is broken here?",
    },
}
CARD = """<li><a href="voila/render/{name}.ipynb"><img alt="" src="voila/files/{name}.png"
  onerror="setTimeout(() => {{ this.src = this.src }}, 500)"><span>{question}</span></a></li>"""
TEMPLATES = Path(__file__).parent / "templates"


def serve(port: int, browser: bool) -> None:
    """Write the pages to a temporary folder and serve them on this machine only, until interrupted."""
    from voila.app import Voila

    with TemporaryDirectory(prefix="rlcourse-demos-") as folder:
        pages = write(Path(folder))
        # Twenty pictures take some seconds: nobody has to wait for them.
        Thread(target=draw_thumbnails, args=[pages], daemon=True).start()
        # Voila looks for templates where Jupyter keeps its data.
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [folder, os.environ.get("JUPYTER_PATH")]))
        options = ["--template=rlcourse", "--classic-tree", "--strip_sources=True", f"--port={port}"]
        Voila.launch_instance([str(pages), *options, *([] if browser else ["--no-browser"])])


def write(folder: Path) -> Path:
    """Lay out what Voila needs below `folder`: a notebook per widget, our templates and the index among them.

    Returns:
        the folder of the notebooks.
    """
    pages, templates = folder / "pages", folder / "voila/templates/rlcourse"
    pages.mkdir()
    copytree(TEMPLATES, templates)
    index = []
    for lecture, questions in QUESTIONS.items():
        for name, question in questions.items():
            source = f"from rlcourse.widgets import {name}\n{name}.widget()"
            cells = [new_markdown_cell(f"# {question}"), new_code_cell(source)]
            metadata = {"kernelspec": KERNELSPEC, "title": question}
            nbformat.write(new_notebook(cells=cells, metadata=metadata), pages / f"{name}.ipynb")
        cards = "\n".join(CARD.format(name=name, question=escape(text)) for name, text in questions.items())
        index.append(f"<h2>{escape(lecture)}</h2>\n<ul>\n{cards}\n</ul>")
    tree = (templates / "tree.html").read_text(encoding="utf-8").replace("<!-- cards -->", "\n".join(index))
    (templates / "tree.html").write_text(tree, encoding="utf-8")
    return pages


def draw_thumbnails(folder: Path) -> None:
    """Write each widget's picture as it opens, whole or not at all: the index asks again until it is there."""
    for name in (name for questions in QUESTIONS.values() for name in questions):
        part = folder / f"{name}.part"
        part.write_bytes(import_module(f"rlcourse.widgets.{name}").widget().picture.png)
        part.replace(folder / f"{name}.png")
