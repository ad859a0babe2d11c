"""A student's functions in the real pages: bit for bit ours when retyped, said in words when they cannot work."""

import ast
import inspect
import linecache
import textwrap
from importlib import import_module
from itertools import combinations
from types import ModuleType
from typing import Any

import joblib
import pytest
import torch
from torch import nn

from rlcourse import lessons, workshop
from rlcourse.algorithms import dqn, soft_q_iteration, td3
from rlcourse.buffers import ReplayBuffer
from rlcourse.workshop import ladder, parts

torch.set_num_threads(1)

PAGES = [import_module(f"rlcourse.algorithms.{page}") for page in ladder.RECIPES]


class Retyped(ast.NodeTransformer):
    """As a student writes it in a notebook: no annotations, a property as a plain function."""

    depth = 0

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self.depth += 1
        self.generic_visit(node)
        self.depth -= 1
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        arguments = [*node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
        for argument in filter(None, arguments):
            argument.annotation = None
        if not self.depth:
            node.decorator_list = []
        return node


def notebook(page: ModuleType, sources: dict[str, str]) -> dict[str, Any]:
    """The globals of a notebook that imports what the page imports and has run these cells, one for each part."""
    home: dict[str, Any] = {"__name__": "notebook"}
    for node in ast.parse(inspect.getsource(page)).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            exec(ast.unparse(node), home)
    for name, source in sources.items():
        file = f"<cell {name}>"
        linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
        exec(compile(source, file, "exec"), home)
    return home


def retyped(page: ModuleType) -> dict[str, str]:
    """Every part of a page that can be written in a notebook: functions, nets, methods without `super()`."""
    agent = getattr(page, ladder.RECIPES[parts._name(page)].agent)
    found = {name: value for name, value in vars(page).items() if getattr(value, "__module__", "") == page.__name__}
    found = {
        name: value
        for name, value in found.items()
        if inspect.isfunction(inspect.unwrap(value)) or (isinstance(value, type) and issubclass(value, nn.Module))
    }
    methods = {name: value for name, value in vars(agent).items() if inspect.isfunction(parts._unwrapped(value))}
    sources = {}
    for name, value in {**found, **methods}.items():
        source = textwrap.dedent(inspect.getsource(parts._unwrapped(value)))
        if isinstance(value, type) or "super()" not in source:
            sources[name] = ast.unparse(Retyped().visit(ast.parse(source))) + "\n"
    return sources


def run(page: ModuleType) -> list[dict[str, Any]]:
    """Every metric of a moment's training."""
    return list(ladder.trial(page))


def same(left: list[dict[str, Any]], right: list[dict[str, Any]]) -> bool:
    return repr(left) == repr(right)  # an array's repr is exact here, and NaN equals itself


@pytest.fixture(params=PAGES, ids=lambda page: parts._name(page))
def page(request: pytest.FixtureRequest) -> ModuleType:
    return request.param


def test_nothing_replaced_is_the_package_bit_for_bit(page: ModuleType) -> None:
    mine = workshop.assemble(page)
    assert mine.module is not page
    assert mine.yours == mine.faults == []
    assert same(run(mine.module), run(page))
    assert any(len(metrics) > 2 for metrics in run(page)), "it never learned"


def test_everything_retyped_is_the_package_bit_for_bit(page: ModuleType) -> None:
    sources = retyped(page)
    assert len(sources) >= 4
    home = notebook(page, sources)
    mine = workshop.assemble(page, **{name: home[name] for name in sources})
    assert mine.faults == []
    assert mine.yours == [*sources]
    assert same(run(mine.module), run(page))


@pytest.mark.thorough
def test_any_one_part_retyped_is_the_package_bit_for_bit(page: ModuleType) -> None:
    ours, sources = run(page), retyped(page)
    for name in sources:
        home = notebook(page, {name: sources[name]})
        assert same(run(parts.put(page, {name: home[name]})), ours), name


@pytest.mark.slow
def test_any_pair_of_parts_retyped_is_the_package_bit_for_bit(page: ModuleType) -> None:
    ours, sources = run(page), retyped(page)
    for pair in combinations(sources, 2):
        home = notebook(page, {name: sources[name] for name in pair})
        assert same(run(parts.put(page, {name: home[name] for name in pair})), ours), pair


def of_dqn(**sources: str) -> workshop.Mine:
    home = notebook(dqn, sources)
    return workshop.assemble(dqn, **{name: home[name] for name in sources})


RIGHT = """def bellman_target(batch, q, gamma):
    return batch.reward + gamma * (1 - batch.terminated) * q(batch.next_obs).amax(-1)
"""
DOUBLED = RIGHT.replace("return ", "return 2 * (").replace("amax(-1)", "amax(-1))")


UPDATE = "def update(self, batch):\n    return {'target': bellman_target(batch, self.target_q, 0.5).sum().item()}\n"


def targets_of(mine: workshop.Mine) -> list[float]:
    return [metrics["target"] for metrics in run(mine.module) if "target" in metrics]


def test_a_students_update_finds_their_target_or_ours() -> None:
    ours, theirs = (targets_of(of_dqn(update=UPDATE, **more)) for more in ({}, {"bellman_target": DOUBLED}))
    assert len(ours) > 10
    assert theirs == pytest.approx([2 * target for target in ours])


def test_what_was_handed_over_goes_before_a_namesake_in_their_notebook() -> None:
    doubled = DOUBLED.replace("bellman_target", "doubled")
    home = notebook(dqn, {"update": UPDATE, "bellman_target": RIGHT, "doubled": doubled})
    mine = workshop.assemble(dqn, update=home["update"], bellman_target=home["doubled"])
    assert targets_of(mine) == targets_of(of_dqn(update=UPDATE, bellman_target=DOUBLED))


def test_their_helpers_find_the_parts_too_and_closures_and_defaults_are_kept() -> None:
    cells = {
        "helper": "def helper(batch, q, gamma=0.5):\n    return twice(bellman_target(batch, q, gamma))\n",
        "twice": "def made(factor):\n    def twice(x):\n        return factor * x\n    return twice\ntwice = made(2)\n",
        "bellman_target": RIGHT.replace("return", "return 10 *"),  # another one, which they did not hand over
        "update": "def update(self, batch):\n    return {'target': helper(batch, self.target_q).sum().item()}\n",
    }
    home = notebook(dqn, cells)
    mine = workshop.assemble(dqn, update=home["update"])
    target = next(metrics["target"] for metrics in run(mine.module) if "target" in metrics)
    plain = of_dqn(
        update=cells["update"].replace("helper(batch, self.target_q)", "bellman_target(batch, self.target_q, 0.5)")
    )
    assert target == pytest.approx(2 * next(m["target"] for m in run(plain.module) if "target" in m))


def test_ours_stays_ours() -> None:
    before = dqn.bellman_target, dqn.DQN.update
    of_dqn(bellman_target=DOUBLED, update="def update(self, batch):\n    return {}\n")
    assert (dqn.bellman_target, dqn.DQN.update) == before


STUBS = {
    "an exception": "raise NotImplementedError('your answer goes here')",
    "nothing": "pass",
    "dots": "...",
    "a docstring": '"""What it will do."""',
}


@pytest.mark.parametrize("body", STUBS.values(), ids=STUBS.keys())
def test_a_stub_is_not_yet_theirs(body: str) -> None:
    mine = of_dqn(
        bellman_target=f"def bellman_target(batch, q, gamma):\n    {body}\n",
        critic_loss=f"def critic_loss(q, target, weight, threshold):\n    {body}\n",
    )
    assert mine.yours == mine.faults == []
    assert mine.whose == {"bellman_target": "not yet yours", "critic_loss": "not yet yours"}
    assert same(run(mine.module), run(dqn))


def test_a_class_with_a_stub_in_it_or_below_it_is_not_yet_theirs() -> None:
    cells = {
        "Memory": "class Memory:\n    def add(self, transition):\n        raise NotImplementedError\n",
        "ReplayBuffer": "class ReplayBuffer(Memory):\n    def sample(self, size, generator):\n        return 1\n",
    }
    assert parts.is_stub(notebook(dqn, cells)["ReplayBuffer"])
    assert not parts.is_stub(ReplayBuffer)


FAULTS = {
    "an unknown name": ("bellman_target", RIGHT.replace("batch.reward", "reward"), "nothing is called `reward`", 2),
    "a slip in a name": (
        "act",
        "def act(self, obs, explore=True):\n    x = 1\n    return bellman_targt(obs)\n",
        "Did you mean `bellman_target`?",
        3,
    ),
    "too few parameters": (
        "bellman_target",
        "def bellman_target(batch, q):\n    return batch.reward\n",
        "it takes (batch, q), but it is called with (batch, q, gamma)",
        1,
    ),
    "a (B, 1)": (
        "bellman_target",
        RIGHT.replace("amax(-1)", "amax(-1, keepdim=True)"),
        "shape (8, 8), it must have shape (8,): a (B, 1) met a (B,)",
        1,
    ),
    "no return": ("bellman_target", RIGHT.replace("return ", "y = "), "it returns None, it must have shape (8,)", 1),
    "a sum that is a batch": (
        "critic_loss",
        "def critic_loss(q, target, weight, threshold):\n    return (q - target) ** 2\n",
        "it must have shape ()",
        1,
    ),
    "an attribute that is not there": (
        "learn",
        "def learn(self):\n    if self.steps > 20:\n        self.replay.draw(4)\n    yield {}\n",
        "AttributeError: 'ReplayBuffer' object has no attribute 'draw'",
        3,
    ),
    "metrics that are none": (
        "update",
        "def update(self, batch):\n    self.updates += 1\n",
        "with it the agent stops: TypeError",
        None,
    ),
}


@pytest.mark.parametrize(("name", "source", "says", "line"), FAULTS.values(), ids=FAULTS.keys())
def test_what_cannot_work_is_said_in_words_before_training(name: str, source: str, says: str, line: int | None) -> None:
    other = {"epsilon": "def epsilon(self):\n    return 0.5\n"}  # right: it stays theirs
    mine = of_dqn(**other, **{name: source})
    (fault,) = mine.faults
    assert fault.startswith(f"✘ {name}: ")
    assert says in fault
    if line is not None:
        assert f"line {line}: {source.splitlines()[line - 1].strip()})" in fault
    assert mine.whose == {"epsilon": "yours", name: "ours: yours has a mistake"}
    assert "✘" in repr(mine)
    assert "1 of 2 parts are yours" in repr(mine)
    run(mine.module)


def test_a_part_that_the_page_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="dqn has no part 'bellman_targets': did you mean 'bellman_target'"):
        workshop.assemble(dqn, bellman_targets=lambda: None)


def test_a_page_without_an_agent_can_be_assembled_but_not_probed() -> None:
    mine = workshop.assemble(soft_q_iteration)
    assert mine.entropy is not soft_q_iteration.entropy
    with pytest.raises(ValueError, match="soft_q_iteration has no agent"):
        workshop.probe(mine)


def test_source_can_be_looked_at() -> None:
    mine = of_dqn(bellman_target=DOUBLED)
    assert "2 * (batch.reward" in inspect.getsource(mine.bellman_target)
    assert inspect.getsource(mine.DQN) == inspect.getsource(dqn.DQN)


def of_seed(kind: Any, config: Any, seed: int) -> float:
    torch.set_num_threads(1)
    agent = kind(1, 2, config, seed)
    return float(agent.act([0.5]) + agent.value([0.5], 0))


@pytest.mark.thorough
def test_seeds_run_in_parallel_processes() -> None:
    home = notebook(dqn, retyped(dqn))
    mine = workshop.assemble(dqn, value=home["value"], act=home["act"], bellman_target=home["bellman_target"])
    jobs = [joblib.delayed(of_seed)(mine.DQN, mine.Config(), seed) for seed in range(2)]
    assert joblib.Parallel(n_jobs=2)(jobs) == [of_seed(dqn.DQN, dqn.Config(), seed) for seed in range(2)]


def test_broken_on_purpose_changes_one_line_of_that_part_alone() -> None:
    mine = of_dqn(critic_loss=retyped(dqn)["critic_loss"])
    broken = workshop.broken(mine, "bellman_target", "amax", "amin")
    assert broken.whose == {"critic_loss": "yours", "bellman_target": "broken on purpose"}
    assert "amin" in inspect.getsource(broken.bellman_target)
    assert not same(run(broken.module), run(dqn))
    with pytest.raises(ValueError, match=r"has 'batch\.' 3 times: name a piece that it has once"):
        workshop.broken(mine, "bellman_target", "batch.", "x.")


def test_side_by_side_says_what_no_policy_is_worth(monkeypatch: pytest.MonkeyPatch) -> None:
    titles: list[str] = []
    monkeypatch.setenv("RLCOURSE_BUDGET", "test")
    monkeypatch.setattr(lessons, "curves", lambda values, step, axis, title: titles.append(title))
    mine = {"mine": workshop.assemble(td3)}
    for most in (None, 0.0):
        workshop.side_by_side(mine, "06_pendulum_td3", steps=600, seeds=(0,), max_reward=most)
    assert [title.split()[-1] for title in titles[1::2]] == ["100", "0"]


def test_checks_name_the_mistake_never_raise_and_say_not_yet_yours(capsys: pytest.CaptureFixture[str]) -> None:
    def double(x: float) -> float:
        raise NotImplementedError

    def square(x: float) -> float:
        return x * x

    for function in (double, square, lambda x: 1 / 0):
        check = workshop.Check(function, see="the equation")
        check("of 3", (3.0,), expected=6.0, mistakes={"squared": 9.0})
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == "○ of 3: not yet yours"
    assert second == "✘ of 3: squared. See the equation."
    assert third.startswith("✘ of 3: it raised ZeroDivisionError")


def test_the_courses_version_is_folded() -> None:
    page = workshop.compare(dqn.bellman_target).data
    assert page.startswith("<details><summary>Compare with the course's</summary>")
    assert "next_q = q(batch.next_obs).amax(-1)" in page
