"""The student's functions in the place of a page's: `assemble`, and what it says about a part that cannot work."""

import builtins
import difflib
import dis
import inspect
import itertools
import linecache
import sys
import textwrap
import traceback
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import module_from_spec, spec_from_file_location
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any

import cloudpickle
import numpy as np
import torch

from rlcourse.grading.checks import STUB, broadcast_hint, place
from rlcourse.workshop import ladder

_COPIES, _PREFIX = itertools.count(1), "mine"


@dataclass
class Mine:
    """An algorithm's page, some of whose parts are the student's. Its functions and classes are its attributes.

    Attributes:
        page: the course's own module, which stays as it is.
        module: the private copy of it that holds the student's parts.
        whose: for each part that was handed over: "yours", or why the course's is used instead.
        faults: what is wrong with parts that could not be used, one sentence each.
        change: what `broken` changed: the lines as they were and as they are.
    """

    page: ModuleType
    module: ModuleType
    parts: Mapping[str, Any]
    whose: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    change: str = ""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "module" not in vars(self):  # while it is being unpickled, say
            raise AttributeError(name)
        return getattr(self.module, name)

    @property
    def yours(self) -> list[str]:
        """The parts that are the student's."""
        return [name for name, owner in self.whose.items() if owner == "yours"]

    @property
    def agent(self) -> Any:
        """The agent's class; on a page without an agent, its main class."""
        return getattr(self.module, ladder.RECIPES[_name(self.page)].agent)

    def __repr__(self) -> str:
        if self.change:
            return self.change
        width = max(map(len, self.whose), default=0)
        lines = [
            f"{_name(self.page)}: {len(self.yours)} of {len(self.whose)} parts are yours, the rest is the course's"
        ]
        lines += [f"  {'✔' if owner == 'yours' else '○'} {name:{width}}  {owner}" for name, owner in self.whose.items()]
        if self.yours:
            lines.append("✔ means that the agent runs with it; whether it is right, the check of its step says.")
        return "\n".join([*lines, *self.faults])


def assemble(page: ModuleType, **parts: Any) -> Mine:
    """An algorithm's page as it is, with the student's functions, methods and classes in the place of ours.

    A part that is still a stub is not yet the student's: ours stays in its place. So does ours where theirs cannot
    work: a short trial run finds names that nobody knows, signatures that do not fit and results of another shape, and
    `Mine.faults` says so, with the line. Blamed is the part that fails when it alone is exchanged. With no
    part of theirs the agent is bit for bit the package's.

    Args:
        page: a module of `rlcourse.algorithms`.
        parts: by name: a function or a class that the page defines or imports, a method of its agent, or what stands
            on another page that it imports from.

    Raises:
        ValueError: the page knows no part of that name.
    """
    mine = Mine(page, _copy_of(page), parts)
    for name, theirs in parts.items():
        mine.whose[name] = owner(theirs)
        where(mine.module, name)  # refuses a name that the page does not know
    while fault := _first_fault(page, {name: parts[name] for name in mine.yours}):
        name, sentence = fault
        mine.whose[name] = "ours: yours has a mistake"
        mine.faults.append(f"✘ {name}: {sentence}")
    mine.module = put(page, {name: parts[name] for name in mine.yours})
    return mine


def broken(mine: Mine, name: str, old: str, new: str) -> Mine:
    """The same agent with one line of the course's `name` changed, from `old` to `new`: a mistake made on purpose.

    The course's version takes the place of the student's; their other parts stay. Printed, it shows the line, and says
    if no part of the agent calls `name`.

    Raises:
        ValueError: the source has no `old`, or more than one.
    """
    ours = _unwrapped(where(_copy_of(mine.page), name)[1])
    source = textwrap.dedent(inspect.getsource(ours))
    if source.count(old) != 1:
        raise ValueError(f"{name} has {old!r} {source.count(old)} times: name a piece that it has once")
    namespace: dict[str, Any] = {}
    file = f"<{name}, broken on purpose>"
    text = source.replace(old, new)
    linecache.cache[file] = len(text), None, text.splitlines(keepends=True), file
    exec(compile(_without_decorators(text), file, "exec"), dict(vars(sys.modules[ours.__module__])), namespace)
    mistake = namespace[ours.__name__]
    changed = Mine(mine.page, mine.module, {**mine.parts, name: mistake}, {**mine.whose, name: "broken on purpose"})
    parts = {**{each: mine.parts[each] for each in mine.yours}, name: mistake}
    changed.module = put(mine.page, parts)
    instead = f"In the place of your {name} the course's" if name in mine.yours else f"The course's {name}"
    changed.change = f"{instead}, with one change:\n{_difference(source, text)}"
    if not _is_called(mine.page, parts, name):
        changed.change += f"\n✘ It changes nothing: no part of your agent calls {name}. Call it by this name."
    return changed


def _is_called(page: ModuleType, parts: Mapping[str, Any], name: str) -> bool:
    """Whether a moment's training calls a function of the page. A method's callers are not the student's to choose."""
    if not inspect.isfunction(vars(page).get(name)):
        return True
    called = False

    def noticed(part: str, theirs: Callable[..., Any], ours: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal called
            called = True
            return theirs(*args, **kwargs)

        return call if part == name else theirs

    with suppress(Exception):  # a mistake can stop the agent, too
        for _ in ladder.trial(put(page, parts, wrap=noticed)):
            pass
    return called


def _difference(before: str, after: str) -> str:
    """The lines that are gone and those that have come."""
    lines = [*difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")][2:]
    return "\n".join(f"  {'−' if line[0] == '-' else '+'} {line[1:].strip()}" for line in lines if line[0] in "-+")


def _without_decorators(source: str) -> str:
    return source[source.index("def ") :] if source.startswith("@property") else source


def is_stub(part: Any) -> bool:
    """Whether nothing has been written yet: it raises what a place for an answer does, or does and returns nothing."""
    return bool(_unwritten(part))


def _unwritten(part: Any) -> list[str]:
    return [each.__name__ for each in _written(part) if _is_stub(each.__code__, isinstance(part, type))]


def owner(part: Any) -> str:
    """Whose it is, as `Mine.whose` says it."""
    if not (empty := _unwritten(part)):
        return "yours"
    return f"not yet yours: {', '.join(empty)} still to be written" if isinstance(part, type) else "not yet yours"


def _written(part: Any) -> list[FunctionType]:
    """The functions that a part is made of: itself, or a class's methods and those inherited from the same notebook."""
    kinds = part.__mro__ if isinstance(part, type) else ()
    written = [each for each in kinds if each is part or _home(each) is _home(part)]
    return [function for each in reversed(written or [part]) for function in _functions(each)]


def place_in(part: Any, error: BaseException) -> str:
    """The innermost of the part's lines that an exception passed, in words; empty if it passed none."""
    passed = _innermost({code for function in _written(part) for code in _codes(function.__code__)}, error)
    return place(*passed) if passed else ""


def _innermost(codes: Container[CodeType], error: BaseException) -> tuple[CodeType, int] | None:
    """Which of these an exception left first, and at which line."""
    steps = reversed([*traceback.walk_tb(error.__traceback__)])
    return next(((frame.f_code, line) for frame, line in steps if frame.f_code in codes), None)


def _codes(code: CodeType) -> Iterator[CodeType]:
    """A function's code and that of the functions inside it."""
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _codes(inner)


def _is_stub(code: CodeType, method: bool) -> bool:
    """Whether it waits for an answer: it says so, or it does nothing; a method may do nothing."""
    if "NotImplementedError" in code.co_names and STUB in code.co_consts:
        return True
    if method:
        return False
    empty = {"RESUME", "NOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST", "POP_TOP", "COPY_FREE_VARS"}
    steps = list(dis.get_instructions(code))
    constants = [step.argval for step in steps if step.opname in ("LOAD_CONST", "RETURN_CONST")]
    return all(step.opname in empty for step in steps) and constants[-1:] == [None]


def where(module: ModuleType, name: str) -> tuple[Any, Any]:
    """Where a part stands and what stands there: in the module, in its agent's class, or on a page it imports from.

    Raises:
        ValueError: in none; names what is closest.
    """
    recipe = ladder.RECIPES.get(_name(module))
    owners = [module, *_sources(module)]
    if recipe is not None:
        owners.insert(1, getattr(module, recipe.agent))
    for owner in owners:
        if name in vars(owner):
            return owner, vars(owner)[name]
    known = [each for owner in owners for each in vars(owner) if not each.startswith("__")]
    near = difflib.get_close_matches(name, known, 1)
    raise ValueError(f"{_name(module)} has no part {name!r}{f': did you mean {near[0]!r}?' if near else ''}")


def put(
    page: ModuleType, parts: Mapping[str, Any], wrap: Callable[[str, Any, Any], Any] = lambda name, theirs, ours: theirs
) -> ModuleType:
    """A private copy of the page that holds the parts, each rebuilt so that it finds the copy's other parts.

    Args:
        wrap: makes what stands in the place of a plain function, from its name, theirs and the copy's own.
    """
    module = _copy_of(page)
    namespaces: dict[int, _Namespace] = {}
    for name, theirs in parts.items():
        owner, ours = where(module, name)
        if owner in _sources(page):  # the course's own, which stays as it is
            _copy_source(module, owner)
            owner, ours = where(module, name)
        home = _home(theirs)
        space = namespaces.setdefault(id(home), _Namespace(home or {}, module, {*parts}))
        rebuilt = space.rebuilt(theirs)
        if inspect.ismodule(owner) and isinstance(rebuilt, FunctionType):
            rebuilt = wrap(name, rebuilt, ours)
        if isinstance(ours, property | staticmethod | classmethod) and not isinstance(rebuilt, type(ours)):
            rebuilt = type(ours)(rebuilt)
        setattr(owner, name, rebuilt)
    for space in namespaces.values():
        space.fill()
    return module


class _Namespace:
    """What a student's functions see: the page's parts first, then their own notebook, then the rest of the page."""

    def __init__(self, home: dict[str, Any], module: ModuleType, replaced: set[str]) -> None:
        self.home, self.module, self.replaced = home, module, replaced
        self.names: dict[str, Any] = {"__builtins__": builtins}
        self._done: dict[int, Any] = {}

    def fill(self) -> None:
        """Last, when every part is in its place."""
        pages = (*_sources(self.module), self.module)
        page = {name: value for each in pages for name, value in vars(each).items() if not name.startswith("__")}
        self.names |= page
        for name, value in self.home.items():
            if not name.startswith("__") and not (name in page and self._is_part(name, page[name])):
                self.names[name] = self.rebuilt(value)

    def _is_part(self, name: str, value: Any) -> bool:
        """Whether the page's own counts before the notebook's: what was put there, or the course defines for others."""
        courses = str(getattr(value, "__module__", "")).startswith(("rlcourse.", _PREFIX))
        return name in self.replaced or (courses and not name.startswith("_"))

    def rebuilt(self, part: Any) -> Any:
        """The same function or class with this namespace for its globals; anything else as it is."""
        if id(part) in self._done:
            return self._done[id(part)]
        if isinstance(part, FunctionType) and _home(part) is self.home:
            again: Any = self._function(part)
        elif isinstance(part, property) and _home(part) is self.home:
            get, put, delete = (each and self.rebuilt(each) for each in (part.fget, part.fset, part.fdel))
            again = property(get, put, delete, part.__doc__)
        elif isinstance(part, staticmethod | classmethod):
            again = type(part)(self.rebuilt(part.__func__))
        elif isinstance(part, type) and _home(part) is self.home:
            # A subclass, so that `super()` goes on to find the class that it was written in.
            own = {name: self.rebuilt(each) for name, each in vars(part).items() if _home(each) is self.home}
            about = {"__module__": part.__module__, "__doc__": part.__doc__, "__qualname__": part.__qualname__}
            again = type(part)(part.__name__, (part,), {**own, **about})
        else:
            again = part
        self._done[id(part)] = again
        return again

    def _function(self, part: FunctionType) -> FunctionType:
        names = self.names if part.__globals__ is self.home else part.__globals__  # else it is a decorator's
        cells = tuple(self._cell(*each) for each in zip(part.__code__.co_freevars, part.__closure__ or (), strict=True))
        again = FunctionType(part.__code__, names, part.__name__, part.__defaults__, cells)
        again.__kwdefaults__, again.__doc__ = part.__kwdefaults__, part.__doc__
        again.__qualname__, again.__module__ = part.__qualname__, part.__module__
        again.__dict__ |= {name: self.rebuilt(value) for name, value in vars(part).items()}
        return again

    def _cell(self, name: str, cell: CellType) -> CellType:
        """A closure keeps what it holds, and shares it, unless that is a function of the student's itself."""
        try:
            held = cell.cell_contents
        except ValueError:  # nothing yet
            return cell
        theirs = isinstance(held, FunctionType) and _home(held) is self.home
        return CellType(self.rebuilt(held)) if theirs and name != "__class__" else cell


def _home(part: Any) -> dict[str, Any] | None:
    """The globals of the notebook or file in which a function or a class was written."""
    if isinstance(part, property):
        part = part.fget
    if isinstance(part, staticmethod | classmethod):
        part = part.__func__
    if isinstance(part, type):
        return next((_home(each) for each in vars(part).values() if _is_written(each)), None)
    part = inspect.unwrap(part) if callable(part) else part
    return part.__globals__ if isinstance(part, FunctionType) else None


def _is_written(part: Any) -> bool:
    """Not made by `dataclass`, say."""
    code = getattr(_unwrapped(part), "__code__", None)
    return code is not None and code.co_filename != "<string>"


def _unwrapped(part: Any) -> Any:
    if isinstance(part, property):
        part = part.fget
    return inspect.unwrap(getattr(part, "__func__", part)) if callable(part) else part


def _copy_of(page: ModuleType) -> ModuleType:
    """The page's source, loaded again as a module of its own that workers can be sent by value."""
    assert page.__file__ is not None
    name = f"{_PREFIX}{next(_COPIES)}.{_name(page)}"
    spec = spec_from_file_location(name, page.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # where `inspect` and `typing` look for what a class belongs to
    spec.loader.exec_module(module)
    cloudpickle.register_pickle_by_value(module)
    return module


def _sources(module: ModuleType) -> list[ModuleType]:
    """The other pages, or copies of them, that a page imports functions and classes from."""
    names = {str(getattr(value, "__module__", "")): None for value in vars(module).values()}
    pages = (name for name in names if name.startswith(("rlcourse.algorithms.", _PREFIX)) and name != module.__name__)
    return [sys.modules[name] for name in pages]


def _copy_source(module: ModuleType, source: ModuleType) -> None:
    """Let a copy of a page import from a copy of `source`, too."""
    copy = _copy_of(source)
    for name, value in [*vars(module).items()]:
        if getattr(value, "__module__", None) == source.__name__:
            setattr(module, name, vars(copy)[value.__name__])


def _name(page: ModuleType) -> str:
    return page.__name__.split(".")[-1]


def _functions(part: Any) -> Iterator[FunctionType]:
    """A part's own functions: itself, or a class's methods."""
    each = [*vars(part).values()] if isinstance(part, type) else [part]
    yield from (found for found in map(_unwrapped, each) if isinstance(found, FunctionType))


def _first_fault(page: ModuleType, parts: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first part that cannot work, and why, in words."""
    for name, theirs in parts.items():
        ours = where(page, name)[1]
        if sentence := _unknown_name(page, theirs) or _misfit(theirs, ours) or _nothing_returned(theirs, ours):
            return name, sentence
    together = _trial(page, parts) if parts else None
    alone = (_trial(page, {name: theirs}) for name, theirs in parts.items() if together and len(parts) > 1)
    return next(filter(None, alone), together)  # who raises may have been handed something by the guilty one


def _unknown_name(page: ModuleType, theirs: Any) -> str | None:
    known = {*vars(builtins), *vars(page), *(_home(theirs) or {})}
    for function in _functions(theirs):
        for line, word in (used for code in _codes(function.__code__) for used in _globals_used(code)):
            if word not in known:
                near = difflib.get_close_matches(word, known, 1)
                hint = f". Did you mean `{near[0]}`?" if near else ""
                return f"nothing is called `{word}`{hint} {place(function.__code__, line)}"
    return None


def _globals_used(code: CodeType) -> Iterator[tuple[int, str]]:
    """The line and the name of each global that a function reads."""
    line = code.co_firstlineno
    for step in dis.get_instructions(code):
        line = step.positions.lineno or line if step.positions else line
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield line, step.argval


def _misfit(theirs: Any, ours: Any) -> str | None:
    """What is wrong with a function's parameters, if ours is called in a way that theirs cannot be."""
    theirs, ours = _unwrapped(theirs), _unwrapped(ours)
    if not (isinstance(theirs, FunctionType) and isinstance(ours, FunctionType)):
        return None
    wanted = inspect.signature(ours).parameters.values()
    required = [each.name for each in wanted if each.default is inspect.Parameter.empty]
    try:
        inspect.signature(theirs).bind(*required)
    except TypeError:
        given = ", ".join(inspect.signature(theirs).parameters)
        needed = ", ".join(each.name for each in wanted)
        return f"it takes ({given}), but it is called with ({needed}) {place(theirs.__code__)}"
    return None


def _nothing_returned(theirs: Any, ours: Any) -> str | None:
    """What is missing in a function that hands back nothing where ours returns or yields something."""
    theirs, ours = _unwrapped(theirs), _unwrapped(ours)
    if not (isinstance(theirs, FunctionType) and isinstance(ours, FunctionType)):
        return None
    if inspect.isgeneratorfunction(ours) and not _returns(theirs.__code__):
        missing = "" if inspect.isgeneratorfunction(theirs) else "it must yield: is there a `yield`?"
    else:
        missing = (
            "it returns nothing: is there a `return`?" if _returns(ours.__code__) > _returns(theirs.__code__) else ""
        )
    return f"{missing} {place(theirs.__code__)}" if missing else None


def _returns(code: CodeType) -> bool:
    """Whether a function returns anything but None anywhere."""
    steps = [*dis.get_instructions(code)]
    before = [None, *steps]
    return any(
        (step.opname == "RETURN_CONST" and step.argval is not None)
        or (step.opname == "RETURN_VALUE" and not (last and last.opname == "LOAD_CONST" and last.argval is None))
        for last, step in zip(before, steps, strict=False)
    )


class _MisfitError(Exception):
    """A part returned something of another shape than ours, or without its gradient: `args` are its name and why."""


def _trial(page: ModuleType, parts: Mapping[str, Any]) -> tuple[str, str] | None:
    """Train for a moment; pure functions are compared with ours on the way."""
    module = put(page, parts, wrap=_compared)
    codes = {each.__code__: name for name, theirs in parts.items() for each in _written(theirs)}
    try:
        for _ in ladder.trial(module):
            pass
    except _MisfitError as error:
        name, sentence = error.args
        return name, sentence
    except Exception as error:  # a student's function can raise anything
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        if passed := _innermost(codes, error):
            return codes[passed[0]], f"{said} {place(*passed)}"
        return [*parts][-1], f"with it the agent stops: {said}"
    return None


def _compared(name: str, theirs: Callable[..., Any], ours: Callable[..., Any]) -> Callable[..., Any]:
    """Theirs, which on the way calls ours with the same arguments and compares the shapes of the results."""

    def call(*args: Any, **kwargs: Any) -> Any:
        result = theirs(*args, **kwargs)
        drawn = any(isinstance(each, torch.Generator | np.random.Generator) for each in (*args, *kwargs.values()))
        if not drawn and not inspect.isgenerator(result):  # neither can be asked twice
            right = ours(*args, **kwargs)
            code = _unwrapped(theirs).__code__
            found, wanted = _shape(result), _shape(right)
            if (not hasattr(result, "shape") and found != wanted) or _is_array_for_tensor(result, right):
                kinds = f"it returns {_kind(result)}, it must return {_kind(right)}"
                raise _MisfitError(name, f"{kinds} of shape {wanted} {place(code)}")
            if found != wanted:
                shapes = f"it returns shape {found}, it must have shape {wanted}{broadcast_hint(found, wanted)}"
                raise _MisfitError(name, f"{shapes} {place(code)}")
            if getattr(right, "requires_grad", False) and not getattr(result, "requires_grad", False):
                cut = "what it returns has no gradient: .item(), .detach() or no_grad() cut it off"
                raise _MisfitError(name, f"{cut} {place(code)}")
        return result

    return call


def _is_array_for_tensor(result: Any, right: Any) -> bool:
    return isinstance(result, np.ndarray) and isinstance(right, torch.Tensor)


def _kind(value: Any) -> str:
    return "a NumPy array" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(value.shape) if hasattr(value, "shape") else () if isinstance(value, int | float) else (-1,)
