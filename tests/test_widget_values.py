"""What a widget is called with: a value that a control cannot take is refused by name, whichever widget it is."""

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

import ipywidgets
import pytest

from rlcourse import widgets
from rlcourse.widgets import q_stepper

MODULES = [
    module
    for found in iter_modules(widgets.__path__, "rlcourse.widgets.")
    if hasattr(module := import_module(found.name), "PRESETS")
]


def test_a_discount_of_2_is_not_taken_for_one_of_099() -> None:
    with pytest.raises(ValueError, match=r"^gamma = 2: it must be a number in \[0.0, 0.99\]$"):
        q_stepper.widget(gamma=2)
    assert q_stepper.widget(gamma=0.5).controls["gamma"].value == 0.5


@pytest.mark.thorough
@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rsplit(".", 1)[-1])
def test_what_no_control_can_take_is_refused_by_name(module: ModuleType) -> None:
    controls = module.widget().controls
    refused = 0
    for name, control in controls.items():
        wrong: list[Any] = []
        if hasattr(control, "min"):
            wrong = [control.max + 1, control.min - 1, "many", True]
        elif isinstance(control, ipywidgets.Checkbox):
            wrong = [2, "yes"]
        elif hasattr(control, "options"):
            wrong = ["none of these"]
        for value in wrong:
            with pytest.raises(ValueError, match=rf"^{name} = {value!r}"):
                module.widget(**{name: value})
            refused += 1
    assert refused
