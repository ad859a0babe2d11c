"""A student's functions in the real pages: bit for bit ours when retyped, said in words when they cannot work."""

import ast
import inspect
import linecache
import signal
import textwrap
from dataclasses import replace
from functools import cache
from importlib import import_module
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from torch import nn

from rlcourse import datasets, envs, lessons, workshop
from rlcourse.algorithms import diffusion, dqn, her, imitation, iql, soft_q_iteration, td3, td7
from rlcourse.buffers import ReplayBuffer
from rlcourse.grading.checks import STUB
from rlcourse.runs import Experiment
from rlcourse.workshop import ladder, parts, trials

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


@cache
def ours(page: ModuleType) -> list[dict[str, Any]]:
    """The package's own."""
    return run(page)


def same(left: list[dict[str, Any]], right: list[dict[str, Any]]) -> bool:
    return repr(left) == repr(right)  # an array's repr is exact here, and NaN equals itself


@pytest.fixture(params=PAGES, ids=lambda page: parts._name(page))
def page(request: pytest.FixtureRequest) -> ModuleType:
    return request.param


def test_nothing_replaced_is_the_package_bit_for_bit(page: ModuleType) -> None:
    mine = workshop.assemble(page)
    assert mine.module is not page
    assert mine.yours == mine.faults == []
    assert same(run(mine.module), ours(page))
    own = {"step", "reward", "episode_return", "episode_length", "env_state"}  # the loop's
    assert sum(bool(metrics.keys() - own) for metrics in ours(page)) > 1, "it hardly learned"


@pytest.mark.thorough
def test_everything_retyped_is_the_package_bit_for_bit(page: ModuleType) -> None:
    sources = retyped(page)
    assert len(sources) >= 4
    home = notebook(page, sources)
    mine = workshop.assemble(page, **{name: home[name] for name in sources})
    assert mine.faults == []
    assert mine.yours == [*sources]
    assert same(run(mine.module), ours(page))


@pytest.mark.thorough
def test_any_one_part_retyped_is_the_package_bit_for_bit(page: ModuleType) -> None:
    sources = retyped(page)
    for name in sources:
        home = notebook(page, {name: sources[name]})
        assert same(run(parts.put(page, {name: home[name]})), ours(page)), name


@pytest.mark.slow
def test_any_pair_of_parts_retyped_is_the_package_bit_for_bit(page: ModuleType) -> None:
    sources = retyped(page)
    for pair in combinations(sources, 2):
        home = notebook(page, {name: sources[name] for name in pair})
        assert same(run(parts.put(page, {name: home[name] for name in pair})), ours(page)), pair


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


def sampled(mine: workshop.Mine) -> float:
    """One action of a diffusion policy that has learned nothing."""
    agent = mine.Imitation(1, 1, lambda obs: obs, mine.Config(noise_steps=3, hidden=(4,)), 0)
    return float(agent.act(np.zeros(1, np.float32), explore=False)[0])


def test_a_part_may_stand_on_a_page_that_the_page_imports_from() -> None:
    ours = sampled(workshop.assemble(imitation))
    quarter = "def denoised(x, guess, now, before, fresh):\n    return 0 * x + 0.25\n"
    path = textwrap.dedent(inspect.getsource(diffusion.Diffusion.path))
    retyped_class = "class Diffusion(Theirs):\n" + textwrap.indent(
        ast.unparse(Retyped().visit(ast.parse(path))), "    "
    )
    home = notebook(diffusion, {"Theirs": "from rlcourse.algorithms.diffusion import Diffusion as Theirs, denoised"})
    exec(compile(retyped_class, "<cell Diffusion>", "exec"), home)
    exec(compile(quarter, "<cell denoised>", "exec"), home)
    mine = workshop.assemble(imitation, denoised=home["denoised"])
    assert mine.yours == ["denoised"]
    assert sampled(mine) == 0.25
    # What was not handed over stays ours, although the notebook has another one of that name.
    mine = workshop.assemble(imitation, Diffusion=home["Diffusion"])
    assert mine.yours == ["Diffusion"]
    assert sampled(mine) == ours
    assert sampled(workshop.assemble(imitation, Diffusion=home["Diffusion"], denoised=home["denoised"])) == 0.25
    assert sampled(workshop.assemble(imitation)) == ours
    assert sampled(workshop.broken(mine, "denoised", "return mean", "return 0 * mean")) != ours


def test_the_trial_tries_every_class_of_policies_and_interventions() -> None:
    for name in ("noised", "denoised", "bin_of", "Mixture", "_takes_over"):
        home = notebook(imitation, {name: f"def {name}(*args):\n    return 1 / 0\n"})
        assert "ZeroDivisionError" in " ".join(workshop.assemble(imitation, **{name: home[name]}).faults), name


def test_a_dataset_in_memory_is_learned_from_as_from_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    world, config = envs.make("Pendulum-v1"), iql.Config(hidden=(8,), batch_size=8)
    kept = datasets.record(world, iql.IQL(3, world.action_space, config, 0), 450, seed=0)
    datasets.write("pendulum/test-v0", kept, "Pendulum-v1", "random actions")
    how: dict[str, Any] = {"evaluate_every": 10, "episodes": 1, "dataset": "pendulum/test-v0", "standardise": True}
    experiment = Experiment("iql", "Pendulum-v1", 20, config, **how)
    made_from = trials._made_from(workshop.assemble(iql))
    files, memory = (trials._measured(experiment, made_from, 0, each) for each in (None, kept))
    assert files[0] == [10, 20]
    assert memory == files
    plain = trials._measured(replace(experiment, standardise=False), made_from, 0, kept)
    assert plain[1] != memory[1]
    with pytest.raises(datasets.DatasetError, match="Reacher-v5 one of"):
        trials._measured(replace(experiment, env="Reacher-v5"), made_from, 0, kept)


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
        "Memory": f"class Memory:\n    def add(self, transition):\n        raise NotImplementedError('{STUB}')\n",
        "ReplayBuffer": "class ReplayBuffer(Memory):\n    def sample(self, size, generator):\n        return 1\n",
    }
    mine = workshop.assemble(dqn, ReplayBuffer=notebook(dqn, cells)["ReplayBuffer"])
    assert mine.whose == {"ReplayBuffer": "not yet yours: add still to be written"}
    assert not parts.is_stub(ReplayBuffer)


def test_a_class_may_have_a_method_that_does_nothing() -> None:
    class Idle(ReplayBuffer):
        def drop_episode(self) -> None:
            pass

    assert not parts.is_stub(Idle)


def test_a_function_that_raises_not_implemented_itself_is_theirs() -> None:
    odd = "def critic_loss(q, target, weight, threshold):\n    raise NotImplementedError('no such loss')\n"
    assert of_dqn(critic_loss=odd).whose == {"critic_loss": "ours: yours has a mistake"}


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
    "no return": ("bellman_target", RIGHT.replace("return ", "y = "), "it returns nothing: is there a `return`?", 1),
    "a list": (
        "bellman_target",
        RIGHT.replace("return ", "return list(").rstrip() + ")\n",
        "it returns a list, it must return a Tensor of shape (8,)",
        1,
    ),
    "an array": (
        "bellman_target",
        RIGHT.replace("return ", "return (").rstrip() + ").numpy()\n",
        "it returns a NumPy array, it must return a Tensor of shape (8,)",
        1,
    ),
    "only what one setting calls": (
        "double_bellman_target",
        "def double_bellman_target(batch, q, q_target, gamma):\n    return q(batch.next_obs).argmx(-1)\n",
        "'Tensor' object has no attribute 'argmx'",
        2,
    ),
    "a method without a return": (
        "act",
        "def act(self, obs, explore=True):\n    action = self.q(obs).argmax().item()\n",
        "it returns nothing: is there a `return`?",
        1,
    ),
    "a generator without a yield": (
        "learn",
        "def learn(self):\n    self.update(self.replay.sample(4))\n",
        "it must yield: is there a `yield`?",
        1,
    ),
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
    "a loss without its gradient": (
        "critic_loss",
        "def critic_loss(q, target, weight, threshold):\n    return ((q - target) ** 2).mean().detach()\n",
        "what it returns has no gradient",
        1,
    ),
    "metrics that are none": (
        "update",
        "def update(self, batch):\n    self.updates += 1\n    return 1.0\n",
        "with it the agent stops: ",  # AttributeError; in tests TypeCheckError, where the call is checked
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


def test_the_trial_reaches_the_assessment_of_policies_which_the_ladder_leaves_out() -> None:
    source = "def _assess(self):\n    self._attempts += 1\n"
    (fault,) = workshop.assemble(td7, _assess=notebook(td7, {"_assess": source})["_assess"]).faults
    assert "no attribute '_attempts'" in fault
    assert "line 2: self._attempts += 1)" in fault


def test_only_the_guilty_part_is_blamed_and_what_the_mark_means_is_said() -> None:
    right = retyped(dqn)
    mine = of_dqn(critic_loss=right["critic_loss"].replace("return ", "return 0 * q.mean().item() +"), act=right["act"])
    assert mine.yours == ["critic_loss", "act"]
    assert "✔ means that the agent runs with it; whether it is right, the check of its step says." in repr(mine)
    lost = "def critic_loss(q, target, weight, threshold):\n    return ((q - target) ** 2).mean().item()\n"
    mine = of_dqn(critic_loss=lost, update=right["update"])  # `update` raises: a float has no backward
    assert mine.whose == {"critic_loss": "ours: yours has a mistake", "update": "yours"}
    assert "✔ means" not in repr(of_dqn())


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
    assert repr(broken).splitlines() == [
        "The course's bellman_target, with one change:",
        "  − next_q = q(batch.next_obs).amax(-1)",
        "  + next_q = q(batch.next_obs).amin(-1)",
    ]
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


def test_a_mistake_that_nothing_calls_is_said() -> None:
    own = retyped(dqn)
    own["update"] = own["update"].replace("critic_loss(", "(lambda q, y, weight, threshold: ((q - y) ** 2).mean())(")
    for update, calls in ((own["update"], False), (retyped(dqn)["update"], True)):
        mine = of_dqn(update=update)
        assert repr(workshop.broken(mine, "update", "self.updates += 1", "pass")).startswith(
            "In the place of your update"
        )
        broken = workshop.broken(mine, "critic_loss", "(weight *", "-(weight *")
        assert ("no part of your agent calls critic_loss" in repr(broken)) is not calls


def test_broken_keeps_the_students_other_functions() -> None:
    loss = (
        "def critic_loss(q, target, weight, threshold):\n    calls.append(1)\n    return (q - target).square().mean()\n"
    )
    home = notebook(dqn, {"critic_loss": loss})
    calls: list[int] = []
    home["calls"] = calls
    mine = workshop.assemble(dqn, critic_loss=home["critic_loss"])
    for part, old, new in (("update", "config.tau", "0.0"), ("bellman_target", "amax", "amin")):
        calls.clear()
        run(workshop.broken(mine, part, old, new).module)
        assert calls, part


def test_checks_name_the_mistake_never_raise_and_say_not_yet_yours(capsys: pytest.CaptureFixture[str]) -> None:
    def double(x: float) -> float:
        raise NotImplementedError("your answer goes here")

    def square(x: float) -> float:
        return x * x

    for function in (double, square, lambda x: 1 / 0):
        check = workshop.Check(function, see="the equation")
        check("of 3", (3.0,), expected=6.0, mistakes={"squared": 9.0})
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == "○ of 3: not yet yours"
    assert second == "✘ of 3: squared. See the equation."
    assert third.startswith("✘ of 3: it raised ZeroDivisionError")


def said_of(capsys: pytest.CaptureFixture[str], source: str, run: Any = None, **settings: Any) -> list[str]:
    """What two checks of a part `f` say, which must make [0.5, 2.0, "x"] and [1.0, 4.0, "x"] of 1 and 2."""
    home = notebook(dqn, {"f": source})
    check = workshop.Check(home["f"], "step 1", None if run is None else lambda x: run(home["f"], x), **settings)
    check("of 1", (1,), expected=[0.5, 2.0, "x"], mistakes={})
    check("of 2", (2,), expected=[1.0, 4.0, "x"], mistakes={"the last one is missing": [1.0, 4.0]})
    return capsys.readouterr().out.splitlines()


def test_checks_name_the_students_own_line(capsys: pytest.CaptureFixture[str]) -> None:
    raises = "def f(x):\n    half = x / 2\n    return half + nothing\n"
    place = "(f, line 3: return half + nothing)"
    for run in (None, lambda f, x: f(x)):
        (line,) = said_of(capsys, raises, run)
        assert line == f"✘ of 1: it raised NameError: name 'nothing' is not defined {place}. See step 1."
    (line,) = said_of(capsys, raises.replace("nothing", "torch.ones(2)[(lambda: 5)()]"))
    assert "(f, line 3: return half + torch.ones(2)[(lambda: 5)()])" in line


def test_checks_blame_the_students_result_where_their_own_lines_fail(capsys: pytest.CaptureFixture[str]) -> None:
    def metrics(f: Any, x: int) -> list[float]:
        made = f(x)
        assert made != "text", "a dictionary was asked for"
        return [*made.values()]

    for returned, says in {
        "None": "it returned nothing: is there a `return`?",
        "'text'": "a dictionary was asked for",
        "x": "the check cannot use what it made: AttributeError: 'int' object has no attribute 'values'. Has it the "
        "type that was asked for?",
    }.items():
        assert said_of(capsys, f"def f(x):\n    x + 1\n    return {returned}\n", metrics) == [
            f"✘ of 1: {says}{'' if says.endswith('?') else '.'} See step 1."
        ]


def test_checks_name_the_parts_of_a_result_and_stop_after_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    names = ("half", "twice", "name")
    wrong = "def f(x):\n    return [0.1 + 0.2, 2.0 * x, 'y']\n"
    assert said_of(capsys, wrong, names=names) == [
        "✘ of 1: half is 0.3, right is 0.5; name is y, right is x. See step 1."
    ]
    assert said_of(capsys, "def f(x):\n    return [x / 2, 2.0 * x, 'x']\n", names=names) == ["✔ of 1", "✔ of 2"]


def test_a_mistake_can_be_what_it_changes(capsys: pytest.CaptureFixture[str]) -> None:
    check = workshop.Check(lambda x: [x / 2, x], "step 1", names=("half", "all"))
    mistakes = {"not twice": {"all": 1.0}, "nothing": [0.0, 0.0]}
    check("of 1", (1.0,), expected=[0.5, 2.0], mistakes=mistakes)
    assert capsys.readouterr().out == "✘ of 1: not twice. See step 1.\n"
    with pytest.raises(ValueError, match="no part of the result is called whole"):
        workshop.Check(lambda x: x, "", names=("half", "all"))("", (1.0,), [0.5, 2.0], {"?": {"whole": 1.0}})


def test_a_ladder_that_is_cut_short_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLCOURSE_BUDGET", "test")
    found = workshop.probe(workshop.assemble(dqn))
    assert found.first is not None
    assert found.verdict.startswith("○ RLCOURSE_BUDGET=test")
    assert "✘ ConstantReward is the first" in replace(found, cut_short=False).verdict
    assert workshop.probe(workshop.assemble(her)).verdict.startswith("○ RLCOURSE_BUDGET=test")
    stops = of_dqn()
    stops.module.DQN.act = lambda self, obs, explore=True: 1 / 0
    assert "ZeroDivisionError" in workshop.probe(stops).verdict


@pytest.mark.thorough
def test_side_by_side_can_be_stopped_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    mine = workshop.assemble(dqn)
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.alarm(5)
    try:
        assert workshop.side_by_side({"one": mine, "two": mine}, "02_cartpole_dqn", 1_000_000, (0,)) == {}
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    assert capsys.readouterr().out.startswith("Stopped by hand: there is nothing to compare before all 2 runs")


def test_the_courses_version_is_folded() -> None:
    page = workshop.compare(dqn.bellman_target).data
    assert page.startswith("<details><summary>Compare with the course's</summary>")
    assert "next_q = q(batch.next_obs).amax(-1)" in page
