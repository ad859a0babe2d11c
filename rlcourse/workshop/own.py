"""An agent from a student's own file, named as in `my_dqn.py:MyDQN`: loaded, tried for a moment, put on the ladder.

Any class will do that is made as `Class(observation_space, action_space, seed)` and has the methods that the training
loop calls: `act(obs, explore=True)`, `observe(transition)`, and `learn()`, which yields a dictionary of numbers after
each update. All else is optional:

- `value(obs, action)` or `value(obs)`: what its critic believes, for the probes; without it they look at actions only;
- `gamma`, an attribute: the probes' true values depend on it. If the class can be made with `gamma=…`, the probes
  make it with ½, at which mistakes are large;
- `drop_episode()`: called before new episodes begin though the last one is not over, for agents that hold something
  of an episode under way;
- `state_dict()` and `load_state_dict(state)`: without them a training run that was interrupted begins anew.
"""

import importlib
import re
import sys
import traceback
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Discrete

from rlcourse.buffers import Transition
from rlcourse.workshop import ladder

STEPS = 5_000  # for each rung: a student's agent brings its own settings, which need not be made for small worlds


class OwnAgentError(ValueError):
    """What is wrong with a student's file, with the line."""


def load(spec: str) -> type[Any]:
    """The class that `FILE.py:Class` names; from then on its module can be imported by the file's name, here and in
    the processes that seeds run in.

    Raises:
        OwnAgentError: no such file or class, the file cannot be run, or the class lacks a method that the loop calls.
    """
    file, _, name = spec.rpartition(":")
    path = Path(file)
    if path.suffix != ".py" or not name.isidentifier():
        raise OwnAgentError(f"{spec!r} names no agent: give a file and a class in it, as in my_dqn.py:MyDQN")
    if not path.is_file():
        raise OwnAgentError(f"there is no file {path}")
    if not path.stem.isidentifier():
        raise OwnAgentError(f"{path.name} cannot be imported: rename it, letters, digits and _ only")
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        module = importlib.import_module(path.stem)
    except Exception as error:  # a student's file can raise anything
        raise OwnAgentError(words(error, path)) from error
    loaded = getattr(module, "__file__", None) or "built in"
    if Path(loaded).resolve() != path.resolve():
        raise OwnAgentError(f"{path.stem} is the name of another module, {loaded}: rename {path.name}")
    kind = getattr(module, name, None)
    if not isinstance(kind, type):
        defined = [each for each, value in vars(module).items() if getattr(value, "__module__", "") == path.stem]
        raise OwnAgentError(f"{path.name} has no class {name}; what it defines: {', '.join(defined) or 'nothing'}")
    missing = [each for each in ("act", "observe", "learn") if not callable(getattr(kind, each, None))]
    if missing:
        raise OwnAgentError(f"{name} lacks {', '.join(missing)}: the training loop calls act, observe and learn")
    return kind


def words(error: BaseException, file: Path) -> str:
    """What an exception means to who wrote the file: its last line in there, also if a worker process raised it."""
    said = f"{type(error).__name__}: {' '.join(str(error).split())}"
    if isinstance(error, SyntaxError) and error.lineno:
        return f"{file.name}, line {error.lineno}: {type(error).__name__}: {error.msg}: {(error.text or '').strip()}"
    text = "".join(traceback.format_exception(error))
    places = re.findall(rf'File "[^"]*{re.escape(file.name)}", line (\d+), in (\S+)\n\s*(.*)', text)
    if not places:
        return said
    line, function, source = places[-1]
    return f"{file.name}, line {line}, in {function}: {said} ({source.strip()})"


def rehearse(kind: type[Any], env: gym.Env) -> Any:
    """A fresh agent, after three steps in `env`: everything that the loop calls is called once.

    Raises:
        OwnAgentError: an action that is none, or a `learn` that yields no dictionaries. What the class raises itself
            comes out as it is.
    """
    agent = make(kind, env)
    name = kind.__name__
    obs, _ = env.reset(seed=0)
    for explore in (True, True, False):
        action = agent.act(obs) if explore else agent.act(obs, explore=False)
        space: Any = env.action_space
        if isinstance(space, Discrete):
            fits = np.shape(action) == () and action in range(int(space.n))
        else:
            fits = np.shape(action) == space.shape and space.contains(np.asarray(action, space.dtype))
        if not fits:
            raise OwnAgentError(f"{name}.act returned {action!r}; it must return an action of {space}")
        next_obs, reward, terminated, truncated, _ = env.step(action)
        agent.observe(Transition(obs, action, reward, next_obs, terminated, truncated))
        learned = agent.learn()
        if not hasattr(learned, "__iter__"):
            raise OwnAgentError(f"{name}.learn returned {learned!r}; it must yield a dictionary after each update")
        for metrics in learned:
            if not isinstance(metrics, dict):
                raise OwnAgentError(f"{name}.learn yielded {metrics!r}; it must yield dictionaries of numbers")
        obs = env.reset()[0] if terminated or truncated else next_obs
    return agent


def make(kind: type[Any], env: gym.Env, seed: int = 0, **settings: Any) -> Any:
    """An agent for `env`."""
    return kind(env.observation_space, env.action_space, seed, **settings)


def without(kind: type[Any], interrupted: bool = True) -> list[str]:
    """What an agent does without, a sentence for each optional part that it lacks.

    Args:
        interrupted: whether a run of it could be, and go on later.
    """
    sentences = []
    if not hasattr(kind, "value"):
        sentences.append("It has no value(obs, action) or value(obs): the probes look at its actions only.")
    if interrupted and not hasattr(kind, "state_dict"):
        sentences.append("It has no state_dict and load_state_dict (optional): a run that is interrupted begins anew.")
    return sentences


def probe(
    kind: type[Any],
    gamma: float | None = None,
    steps: int = STEPS,
    continuous: bool = False,
    file: Path | None = None,
    seen: Callable[[ladder.Finding], None] = lambda finding: None,
) -> ladder.Ladder:
    """The ladder of a student's own class.

    Args:
        gamma: of the agent, if it has no attribute `gamma` or `config.gamma` and cannot be made with one.
        steps: environment steps in each world.
        continuous: in worlds with a continuous action.
        file: where it was written, so that exceptions name its lines.
        seen: is told what each rung showed, as soon as it is known.

    Raises:
        OwnAgentError: nobody says what γ is, or it does not do what the loop asks for.
    """
    settings: dict[str, Any] = (
        {"gamma": ladder.GAMMA} if gamma is None and "gamma" in signature(kind).parameters else {}
    )
    agent = rehearse(kind, ladder.world_of(ladder.RUNGS[0], continuous))
    config = getattr(agent, "config", None)
    said = gamma, settings.get("gamma"), getattr(agent, "gamma", None), getattr(config, "gamma", None)
    known = next((each for each in said if each is not None), None)
    if known is None:
        raise OwnAgentError(f"{kind.__name__} has no attribute gamma, on which true values depend: set it, or --gamma")
    if not 0 <= known < 1:
        raise OwnAgentError(f"gamma = {known} must be in [0, 1), as with --gamma 0.9: at 1 endless sums have no value")

    def say(error: BaseException) -> str:
        return repr(error) if file is None else words(error, file)

    return ladder.climb(lambda env: make(kind, env, **settings), steps, known, continuous, words=say, seen=seen)
