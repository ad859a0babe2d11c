"""Run the lectures and store them so that a rerun is a small diff: `make notebooks`."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from tqdm import tqdm

from rlcourse.operations.saving import without_view

CELL_TIMEOUT = 300  # seconds; a lecture has five minutes in all
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}
KEPT_CELL_METADATA = ("jupyter", "rlcourse", "slideshow", "tags")  # jupyter: whether the source is folded


def lectures(paths: Iterable[Path]) -> Iterator[Path]:
    """The notebooks that the paths name, and those that lie directly in the folders that they name.

    Raises:
        FileNotFoundError: a path that does not exist.
    """
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist: name a notebook or a folder of notebooks")
        yield from sorted(path.glob("*.ipynb")) if path.is_dir() else [path]


def execute(paths: Iterable[Path]) -> None:
    """Run each notebook from top to bottom in a fresh kernel and write it back normalised.

    Raises:
        CellExecutionError: a cell failed; its notebook stays as it was.
    """
    for path in tqdm(list(lectures(paths)), unit="notebook"):
        notebook = nbformat.read(path, as_version=4)
        # It runs in an empty folder: the predictions that its author made while trying it out must not be found.
        with TemporaryDirectory() as folder:
            resources = {"metadata": {"path": folder}}
            NotebookClient(notebook, timeout=CELL_TIMEOUT, coalesce_streams=True, resources=resources).execute()
        normalise(notebook)
        nbformat.write(notebook, path)


def normalise(notebook: NotebookNode) -> None:
    """Keep what a reader sees, and drop live views, timings and versions, which differ from run to run."""
    notebook.metadata = {
        "kernelspec": KERNELSPEC,
        "language_info": {"name": "python"},
        "rlcourse": {**notebook.metadata.get("rlcourse", {}), "sources": sources_hash(notebook)},
    }
    for cell in notebook.cells:
        cell.metadata = {key: cell.metadata[key] for key in KEPT_CELL_METADATA if key in cell.metadata}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _worth_keeping(output)]


def _worth_keeping(output: NotebookNode) -> bool:
    """Remove the live view, and say whether more is left than the text that replaces it (a progress bar's, say).

    An answer that waits for a prediction waits in vain here: what stays is the text that holds it, folded. Of a film
    stays the picture, which needs half the space.
    """
    if "answer" in output.get("metadata", {}).get("text/markdown", {}) or "image/gif" in output.get("data", {}):
        output.data.pop("text/html", None)
    return without_view(output)


def sources_hash(notebook: NotebookNode) -> str:
    """A hash of all cells' sources. It is stored with the outputs and tells whether they belong to these sources."""
    sources = json.dumps([(cell.cell_type, cell.source) for cell in notebook.cells])
    return hashlib.sha256(sources.encode()).hexdigest()[:16]
