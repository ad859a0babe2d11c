"""An agent from a student's own file: the probes, the training command, and errors that point at its lines."""

import json
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from joblib.externals.loky import get_reusable_executor

from rlcourse.operations import cli
from rlcourse.workshop import ladder, own

TABLE = '''
import numpy as np

class Table:
    """Q-learning on three observations; knows no notebook."""

    def __init__(self, observation_space, action_space, seed, gamma=0.9):
        self.gamma, self.q = gamma, np.zeros((3, 2))
        self.random = np.random.default_rng(seed)

    def act(self, obs, explore=True):
        if explore and self.random.random() < 0.5:
            return int(self.random.integers(2))
        return int(self.q[round(float(obs[0])) + 1].argmax())

    def observe(self, transition):
        self.last = transition

    def learn(self):
        t = self.last
        s, n = round(float(t.obs[0])) + 1, round(float(t.next_obs[0])) + 1
        target = t.reward + self.gamma * (1 - t.terminated) * self.q[n].max()
        self.q[s, t.action] += 0.2 * (target - self.q[s, t.action])
        yield {"target": target}

    def value(self, obs, action):
        return self.q[round(float(obs[0])) + 1, action]
'''
TEMPLATE = Path(__file__).parents[1] / "notebooks" / "workshops" / "my_agent.py"


@pytest.fixture(autouse=True)
def imports_as_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)


def written(name: str, source: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The class in a file of that name; it is forgotten after the test."""
    Path(f"{name}.py").write_text(source)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return f"{name}.py:Table"


def rlcourse(monkeypatch: pytest.MonkeyPatch, *words: str) -> str | int | None:
    """What the command exits with; None is success."""
    monkeypatch.setattr(sys, "argv", ["rlcourse", *words])
    try:
        cli.main()
    except SystemExit as stop:
        return stop.code
    return None


def test_a_right_agent_climbs_the_ladder(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    agent = written("right_table", TABLE, monkeypatch)
    assert rlcourse(monkeypatch, "probe", agent, "--steps", "400") is None
    out = capsys.readouterr().out
    assert "every rung holds" in out
    assert "Discounting                 Q(0) = 0.5" in out  # made with γ = ½
    assert "state_dict" not in out  # nobody resumes a probe


def test_a_rung_that_fails_is_exit_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = written("unmasked_table", TABLE.replace("(1 - t.terminated) * ", ""), monkeypatch)
    assert rlcourse(monkeypatch, "probe", agent, "--steps", "400") == 1
    assert "✘ ConstantReward is the first rung that fails" in capsys.readouterr().out


def test_every_rung_is_printed_as_soon_as_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def climbed(env: gym.Env) -> Any:
        seen.append("an agent is made")
        return own.make(own.load(agent), env, gamma=0.5)

    agent = written("seen_table", TABLE, monkeypatch)
    ladder.climb(climbed, 50, 0.5, seen=lambda finding: seen.append(finding.rung.world.__name__))
    rungs = [rung.world.__name__ for rung in ladder.RUNGS]
    assert seen == [each for name in rungs for each in ("an agent is made", name)]


BROKEN = {
    "an exception": ("self.q[n].max()", "self.w[n].max()", "line 22, in learn: AttributeError: 'Table' object has no"),
    "a syntax error": ("import numpy as np", "import numpy as", "line 2: SyntaxError"),
    "no learn": ("def learn", "def lern", "Table lacks learn: the training loop calls act, observe and learn"),
    "an action that is none": ("return int(self", "return 2 + int(self", "it must return an action of Discrete(2)"),
    "an act that returns nothing": ("return int(self", "int(self", "Table.act returned None; it must return an action"),
    "learn that returns": ('yield {"target": target}', "return", "Table.learn returned None; it must yield"),
}


@pytest.mark.parametrize(("old", "new", "says"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_wrong_is_said_with_its_line(old: str, new: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = written("wrong_table", TABLE.replace(old, new), monkeypatch)
    for command in (("probe", agent), ("train", agent, "--env", "CartPole-v1", "--steps", "10")):
        monkeypatch.delitem(sys.modules, "wrong_table", raising=False)
        code = rlcourse(monkeypatch, *command)
        assert isinstance(code, str)
        assert says in code


def test_gamma_comes_from_the_class_or_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    source = (
        TABLE.replace(", gamma=0.9", "").replace("self.gamma, self.q = gamma,", "self.q =").replace("self.gamma", "0.5")
    )
    agent = written("silent_table", source, monkeypatch)
    assert "Table has no attribute gamma" in str(rlcourse(monkeypatch, "probe", agent, "--steps", "400"))
    assert rlcourse(monkeypatch, "probe", agent, "--steps", "400", "--gamma", "0.5") is None
    assert rlcourse(monkeypatch, "probe", agent, "--steps", "400", "--gamma", "0.8") == 1
    assert rlcourse(monkeypatch, "probe", agent, "--steps", "400", "--gamma", "0") == 1
    assert "gamma = 1.0 must be in [0, 1)" in str(rlcourse(monkeypatch, "probe", agent, "--gamma", "1"))


def test_a_name_that_names_nothing_is_refused() -> None:
    for spec, says in (("dqn", "give a file and a class"), ("none.py:Table", "there is no file none.py")):
        with pytest.raises(own.OwnAgentError, match=says):
            own.load(spec)
    for name, place in (("json", r".*__init__\.py"), ("time", "built in")):
        Path(f"{name}.py").write_text(TABLE)
        with pytest.raises(own.OwnAgentError, match=f"{name} is the name of another module, {place}: rename {name}.py"):
            own.load(f"{name}.py:Table")


@pytest.mark.thorough
def test_the_template_trains_over_seeds_and_is_compared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    source = TEMPLATE.read_text(encoding="utf-8")
    assert 30 <= len(source.splitlines()) <= 40
    written("my_agent", source, monkeypatch)
    get_reusable_executor().shutdown()  # a command starts its own workers; those of earlier tests look in other folders
    options = ("--env", "CartPole-v1", "--steps", "2500", "--seeds", "0:2", "--out", "out", "--curve", "mine.json")
    code = rlcourse(monkeypatch, "train", "my_agent.py:MyAgent", *options, "--compare", "02_cartpole_dqn")
    out = capsys.readouterr().out
    assert code is None, code
    assert out.count("The 20 reference seeds score 261 on average") == 2
    assert "no state_dict and load_state_dict (optional): a run that is interrupted begins anew" in out
    assert "it beats 0 of the 20" in out  # it acts at random
    assert json.loads(Path("mine.json").read_text())["command"].startswith("rlcourse train my_agent.py:MyAgent --env")
    assert rlcourse(monkeypatch, "train", "my_agent.py:MyAgent", *options, "--compare", "02_cartpole_dqn") is None
    assert "mine.json holds already: seeds 0, 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("CartPole-v1", "--steps", "1000"), "--steps 1000: 02_cartpole_dqn begins at step 2500; train at least until"),
        (("Acrobot-v1", "--steps", "2500"), "02_cartpole_dqn is a recording of CartPole-v1, not of Acrobot-v1"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_it_trains(
    monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], words: str
) -> None:
    written("mine", TABLE, monkeypatch)
    given = ("mine.py:Table", "--env", *options, "--out", "out", "--compare", "02_cartpole_dqn")
    assert words in str(rlcourse(monkeypatch, "train", *given))
    assert not Path("out").exists()
