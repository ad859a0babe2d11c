"""Every lecture as a student sees it: opened in JupyterLab, run from top to bottom, photographed cell by cell."""

import shutil
import time
from datetime import date
from pathlib import Path

import pytest

from rlcourse.operations.publish import lectures
from tests.browser.conftest import ARTIFACTS
from tests.browser.lab import Lab

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LECTURES = list(lectures([Path(__file__).parents[2] / "notebooks"]))


@pytest.mark.timeout(900)  # a lecture may take five minutes on two free cores
@pytest.mark.parametrize("lecture", LECTURES, ids=lambda path: path.stem)
def test_a_lecture_runs(lab: Lab, lecture: Path) -> None:
    folder, photos = lab.root / lecture.stem, ARTIFACTS / lecture.stem
    folder.mkdir()
    shutil.rmtree(photos, ignore_errors=True)
    with lab.open(Path(shutil.copy(lecture, folder))) as notebook:
        start = time.monotonic()
        notebook.run()
        seconds = time.monotonic() - start
        for number, cell in enumerate(notebook.cells()):
            notebook.view(number).screenshot(path=photos / f"{number:02d}.png")
            assert notebook.missing_images() == []
            outputs = cell.get("outputs", [])
            bad = [out for out in outputs if out["output_type"] == "error" or out.get("name") == "stderr"]
            assert not bad, f"cell {number}: {bad}"
            if cell["cell_type"] == "code":
                assert cell["execution_count"], f"cell {number} did not run"
        assert notebook.blemishes() == []
    with (ARTIFACTS / "lectures.txt").open("a") as times:  # for `seconds` in the lecture's metadata
        times.write(f"{date.today()} {lecture.stem}: {seconds:.0f} s\n")
