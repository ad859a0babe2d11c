"""The declared tables by which recordings are renewed."""

from typing import Any

import pytest

from tests import renew

TD7 = "rlcourse.algorithms.td7"
FIELD = "Attribute(value=Name(id='config', ctx=Load()), attr='implementation', ctx=Load())"


@pytest.fixture(autouse=True)
def _tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renew, "FIELDS", {"td7": {"implementation": "appendix_changes"}})
    monkeypatch.setattr(renew, "MOVED", {(TD7, "Parallel"): ("rlcourse.nets", "Parallel")})


def test_old_names_and_places_become_the_new_ones_and_nothing_else_changes() -> None:
    found = renew.renamed({(TD7, "Config"): FIELD, (TD7, "Parallel"): "Pass()", ("rlcourse.loop", "train"): FIELD})
    new = FIELD.replace("implementation", "appendix_changes")
    assert found == {(TD7, "Config"): new, ("rlcourse.nets", "Parallel"): "Pass()", ("rlcourse.loop", "train"): FIELD}


def test_two_things_never_become_one() -> None:
    with pytest.raises(ValueError, match="appendix_changes is a name in the old"):
        renew.renamed({(TD7, "Config"): FIELD + "Name(id='appendix_changes', ctx=Load())"})


@pytest.mark.parametrize(
    ("agent", "command", "expected"),
    [
        ("td7", "rlcourse train td7 --no-implementation --no-lap", "rlcourse train td7 --no-appendix-changes --no-lap"),
        ("td7", "train --curve 09_ladder_implementation.json", "train --curve 09_ladder_implementation.json"),
        ("td3", "train td3 --no-implementation", "train td3 --no-implementation"),
    ],
)
def test_options_in_recorded_commands(agent: str, command: str, expected: str) -> None:
    assert renew.with_options(agent, command) == expected


def test_a_short_run_learns_and_overwrites_its_oldest_rows() -> None:
    config = {"learning_starts": 25_000, "batch_size": 256, "buffer_size": 1_000_000, "target_every": 250}
    data: dict[str, Any] = {"agent": "td7", "env": "HalfCheetah-v5", "config": config, "truth": None}
    job = renew.short(data)
    assert config["learning_starts"] == 25_000  # the recording itself stays as it is
    begin, steps = job["config"]["learning_starts"], job["settings"]["steps"]
    assert config["batch_size"] < begin < job["config"]["buffer_size"] < steps
    assert (job["config"]["target_every"], job["settings"]["truths"]) == (20, 0)
