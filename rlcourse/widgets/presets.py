"""Named starting points for a widget: a row of buttons, each of which moves all its controls at once."""

from collections.abc import Callable, Mapping
from functools import update_wrapper
from inspect import cleandoc, signature
from typing import Any

import ipywidgets
from traitlets import TraitError

from rlcourse.widgets.panel import Panel, buttons

Values = Mapping[str, Any]  # of all controls, by `compute`'s names
Presets = Mapping[str, Values]
ARGUMENTS = """Args:
    preset: one of `PRESETS`, where the controls start.
    changes: values of controls, by `compute`'s names, that differ from the preset's.

Raises:
    ValueError: the preset or the name of a control is unknown, or a value is none that it takes.
"""


def offered(presets: Presets) -> Callable[[Callable[[Values], Panel]], Callable[..., Panel]]:
    """Makes `widget(preset, **changes)` of a function that builds the panel from the values of all its controls.

    The panel gets a row of buttons on top, one a preset. A value that a control cannot take is refused by name: left to
    themselves, sliders move to their nearest end, and a menu does not say which one it is.
    """

    def decorate(build: Callable[[Values], Panel]) -> Callable[..., Panel]:
        def make(preset: str = next(iter(presets)), **changes: Any) -> Panel:
            try:
                panel = build(start(presets, preset, changes))
            except TraitError as error:
                given = ", ".join(f"{name} = {value!r}" for name, value in changes.items())
                raise ValueError(f"{given}: no value of that control ({error})") from error
            for name, value in changes.items():
                if name in panel.controls and panel.controls[name].value != value:
                    control: Any = panel.controls[name]
                    kind = "a whole number" if isinstance(control.value, int) else "a number"
                    raise ValueError(f"{name} = {value!r}: it must be {kind} in [{control.min}, {control.max}]")
            attach(panel, presets)
            return panel

        seen = signature(make)
        made: Any = update_wrapper(make, build)
        made.__signature__ = seen  # what Shift+Tab shows
        made.__doc__ = f"{cleandoc(build.__doc__ or '')}\n\n{ARGUMENTS}"
        return make

    return decorate


def start(presets: Presets, preset: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """A preset's values with some of them changed.

    Raises:
        ValueError: the preset or a name in `changes` is unknown, or a number stands where a switch is or the reverse.
    """
    if preset not in presets:
        raise ValueError(f"preset = {preset!r} is unknown: choose one of {', '.join(presets)}")
    values = presets[preset]
    if unknown := set(changes) - set(values):
        raise ValueError(f"{', '.join(sorted(unknown))}: no such control: choose from {', '.join(values)}")
    for name, value in changes.items():
        if isinstance(value, bool) != isinstance(values[name], bool):
            raise ValueError(f"{name} = {value!r}: it must be of the same kind as {values[name]!r}")
    return {**values, **changes}


def attach(panel: Panel, presets: Presets) -> None:
    """Give the panel a row of buttons on top; none is pressed while the controls stand at no preset."""
    named = buttons(None, list(presets), "")

    loading = False

    def load(_: Any) -> None:
        nonlocal loading
        if named.value is not None:
            loading = True
            with panel.one_redraw():
                for name, value in presets[named.value].items():
                    panel.controls[name].value = value
            loading = False

    def name_it(_: Any = None) -> None:
        if not loading:
            named.value = next((name for name, preset in presets.items() if preset == panel.values), None)

    name_it()
    named.observe(load, "value")
    for control in panel.controls.values():
        control.observe(name_it, "value")
    panel.children = (ipywidgets.HBox([named]), *panel.children)
