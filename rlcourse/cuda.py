"""Let an agent learn on a GPU: its own `update`, recorded as a CUDA graph, which the GPU repeats without Python.

An update of a few small networks is hundreds of short kernels, and Python takes longer to launch one than the GPU to
run it. A graph launches all of them at once. What is recorded is the page's code as it stands.

The agent itself stays on the CPU: there it acts, remembers, draws its batches and its random numbers. So its numbers
are those of a run without a GPU, to the rounding of float32. On the GPU is its twin, a copy of networks and optimisers.
Before each update the batch and the random numbers go over; back come losses and priorities, and when the agent acts,
the networks that it acts with.
"""

import copy
import math
import warnings
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from rlcourse.algorithms import AGENTS
from rlcourse.buffers import Batch, PrioritizedReplay

# Their updates have fixed shapes, and take no decision that depends on a number just computed.
SUITED = ("td3", "sac", "td7", "iql")
_ACTING = ("actor", "fixed_encoder")  # the networks that `act` needs
_WARM_UP = 3  # updates of each kind that run one by one before one is recorded, as PyTorch's documentation asks for


def move(agent: Any, device: str = "cuda") -> None:
    """Let `agent` learn on the GPU from now on; all else stays as it is, its checkpoints too.

    Args:
        agent: one of `SUITED`.
        device: "cpu" repeats Python's calls in place of a graph; the tests do so.

    Raises:
        ValueError: another agent, or PyTorch sees no GPU.
    """
    if f"{type(agent).__module__}:{type(agent).__qualname__}" not in {AGENTS[name] for name in SUITED}:
        raise ValueError(f"{type(agent).__name__} cannot learn on a GPU here: take {', '.join(SUITED)}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("PyTorch sees no GPU: leave out --cuda, or install a build of PyTorch for your GPU")
    learner = _Learner(agent, torch.device(device))
    agent.act, agent.update = learner.act, learner.update
    agent.state_dict, agent.value = learner.state_dict, learner.value


class _Seen(TorchFunctionMode):
    """While it is on, nothing waits for the device, and random numbers come from the CPU, into tensors that stay.

    Attributes:
        drawn: each draw, its numbers on the CPU, and on the device.
        ends: smallest and largest number of the last tensor that was asked for them: TD7's targets.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device, self.pinned = device, device.type == "cuda"
        self.drawn: list[tuple[Callable[[], Tensor], Tensor, Tensor]] = []
        self.ends: tuple[Tensor, ...] = ()
        self._next = 0

    def draw(self) -> None:
        """Draw again what the last update drew."""
        for drawing, host, there in self.drawn:
            host.copy_(drawing())
            there.copy_(host, non_blocking=True)
        self._next = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.randn:
            if self._next == len(self.drawn):
                drawing = partial(func, *args, **kwargs)
                host = drawing()
                host = host.pin_memory() if self.pinned else host
                self.drawn.append((drawing, host, host.to(self.device, copy=True)))
            self._next += 1
            return self.drawn[self._next - 1][2]
        if func is Tensor.item:  # the numbers are read after the update
            return args[0].detach()
        result = func(*args, **kwargs)
        if func is Tensor.aminmax:
            self.ends = tuple(result)
        return result


class _Outbox(PrioritizedReplay):
    """Stands for the agent's memory in its twin: priorities go to the memory, or if a graph is recorded, are kept."""

    def __init__(self, replay: PrioritizedReplay) -> None:
        self.replay, self.recording, self.kept = replay, False, torch.empty(0)

    def update_priorities(self, indices: Tensor, priorities: Tensor) -> None:
        if self.recording:
            self.kept = priorities
        else:
            self.replay.update_priorities(indices, priorities.cpu())

    def reset_max_priority(self) -> None:
        self.replay.reset_max_priority()


class _Learner:
    def __init__(self, agent: Any, device: torch.device) -> None:
        self.agent, self.config, self.device = agent, agent.config, device
        self.on_gpu = device.type == "cuda"
        if self.on_gpu:
            # It warns that updates which are not recorded would be faster otherwise: those are few.
            warnings.filterwarnings("ignore", "This instance was constructed with capturable=True")
            torch.cuda.set_stream(torch.cuda.Stream())  # graphs are recorded in any stream but the default one
        self.seen, self.twin = _Seen(device), self._make_twin()
        self.clips = getattr(self.config, "clip_target", False)
        self.batch: Batch | None = None  # on the device, where each batch is brought to
        self.warm = {False: 0, True: 0}  # updates without and with one of the actor
        self.graphs: dict[bool, Callable[[], dict[str, float]]] = {}
        self.fetched = agent.updates  # how many had been made when `act` last fetched its networks

    def _make_twin(self) -> Any:
        """A shallow copy of the agent, with networks, optimisers and tensors of its own on the device."""
        twin = copy.copy(self.agent)
        own = {name: value for name, value in vars(self.agent).items() if _is_learned(name, value)}
        self.learned = copy.deepcopy(own)  # all at once: the optimisers then hold the new parameters
        for name, value in self.learned.items():
            setattr(twin, name, value)
            if isinstance(value, nn.Module):
                value.to(self.device)
            elif isinstance(value, Tensor):
                value.data = value.data.to(self.device)
            else:
                _place(value, self.device, capturable=self.on_gpu)
        if isinstance(self.agent.replay, PrioritizedReplay):
            twin.replay = _Outbox(self.agent.replay)
        if hasattr(twin, "_target_bounds"):  # a graph knows only numbers that lie on the device
            self.bounds = torch.tensor(twin._target_bounds, dtype=torch.float32, device=self.device)
            twin._target_bounds = tuple(self.bounds)
        return twin

    def act(self, obs: Any, explore: bool = True) -> Any:
        if self.fetched != self.agent.updates:
            self.fetched = self.agent.updates
            self._fetch({name: value for name, value in self.learned.items() if name in _ACTING})
        return type(self.agent).act(self.agent, obs, explore)

    def state_dict(self) -> dict[str, Any]:
        self._fetch(self.learned)
        return type(self.agent).state_dict(self.agent)

    def value(self, obs: Any, action: Any) -> float:
        self._fetch({name: value for name, value in self.learned.items() if isinstance(value, nn.Module)})
        return type(self.agent).value(self.agent, obs, action)

    @torch.no_grad()
    def _fetch(self, learned: dict[str, Any]) -> None:
        for name, value in learned.items():
            here = getattr(self.agent, name)
            if isinstance(value, nn.Module):
                torch._foreach_copy_(list(here.parameters()), list(value.parameters()))
            elif isinstance(value, Tensor):
                here.data.copy_(value)
            else:
                here.load_state_dict(copy.deepcopy(value.state_dict()))
                _place(here, torch.device("cpu"), capturable=False)

    def update(self, batch: Batch) -> dict[str, float]:
        agent, twin, config = self.agent, self.twin, self.config
        self._bring(batch)
        self.seen.draw()
        twin.updates = agent.updates
        actor_learns = (agent.updates + 1) % getattr(config, "policy_every", 1) == 0
        copies = getattr(config, "appendix_changes", False) and (agent.updates + 1) % config.target_every == 0
        if copies or self.warm[actor_learns] < _WARM_UP:
            self.warm[actor_learns] += 1
            metrics = self._one_by_one()
        else:
            if actor_learns not in self.graphs:
                self.graphs[actor_learns] = self._record()
            metrics = self.graphs[actor_learns]()
        agent.updates += 1
        if hasattr(agent, "_targets_seen"):
            agent._targets_seen = twin._targets_seen
        return metrics

    def _bring(self, batch: Batch) -> None:
        """Bring a batch to the device, always to the same place, all in one piece."""
        names = [field.name for field in fields(Batch) if field.name != "indices"]
        if self.batch is None:
            shapes = [getattr(batch, name).shape for name in names]
            self.host = torch.empty(sum(map(math.prod, shapes)), pin_memory=self.on_gpu)
            self.there = torch.empty_like(self.host, device=self.device)
            self.here, on_device = (
                {name: part.view(shape) for name, part, shape in zip(names, parts, shapes, strict=True)}
                for parts in (flat.split([math.prod(shape) for shape in shapes]) for flat in (self.host, self.there))
            )
            self.batch = replace(batch, **on_device)
        for name in names:
            self.here[name].copy_(getattr(batch, name))
        self.there.copy_(self.host, non_blocking=True)
        self.batch = replace(self.batch, indices=batch.indices)

    def _one_by_one(self) -> dict[str, float]:
        twin = self.twin
        with self.seen:
            numbers = twin.update(self.batch)
        if not isinstance(getattr(twin, "_target_bounds", self.there)[0], Tensor):  # a copy has brought new ones
            self.agent._target_bounds = twin._target_bounds
            self.bounds.copy_(torch.tensor(twin._target_bounds))
            twin._target_bounds = tuple(self.bounds)
        return {name: float(number) for name, number in numbers.items()}

    def _record(self) -> Callable[[], dict[str, float]]:
        """What repeats the next update, which is recorded here and does not take place."""
        names: list[str] = []
        if not self.on_gpu:
            return lambda: self._read(names, self._computed(names))
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            results = self._computed(names)

        def repeat() -> dict[str, float]:
            graph.replay()
            return self._read(names, results)

        return repeat

    def _computed(self, names: list[str]) -> Tensor:
        """An update without what Python makes of its numbers; these are returned in one piece, and their `names`."""
        twin, before = self.twin, vars(self.twin).copy()
        memory = twin.replay if isinstance(twin.replay, _Outbox) else None
        if memory is not None:
            memory.recording = True
        with self.seen, patch.object(Tensor, "__float__", lambda _: 0.0):  # to read a number is to wait for it
            numbers = twin.update(self.batch)
        vars(twin).update(before)
        names[:] = numbers
        ends = self.seen.ends if self.clips else ()
        results = torch.stack([*numbers.values(), *ends])
        if memory is not None:
            memory.recording = False
            results = torch.cat([results, memory.kept])
        return results.detach()

    def _read(self, names: list[str], results: Tensor) -> dict[str, float]:
        """Take an update's numbers from the device, and do with them what the page does: note the targets' ends."""
        twin, results = self.twin, results.cpu()
        numbers, rest = results[: len(names)].tolist(), results[len(names) :]
        if self.clips:
            (low, high), rest = rest[:2].tolist(), rest[2:]
            twin._targets_seen = min(twin._targets_seen[0], low), max(twin._targets_seen[1], high)
        if len(rest):
            assert self.batch is not None  # it was brought, and learned from
            self.agent.replay.update_priorities(self.batch.indices, rest)
        return dict(zip(names, numbers, strict=True))


def _is_learned(name: str, value: Any) -> bool:
    """Networks, optimisers and tensors with a gradient; what an agent keeps of earlier policies learns nothing."""
    if isinstance(value, Tensor):
        return value.requires_grad
    return isinstance(value, nn.Module | torch.optim.Optimizer) and not name.startswith("checkpoint_")


def _place(optimizer: torch.optim.Optimizer, device: torch.device, capturable: bool) -> None:
    for group in optimizer.param_groups:
        group["capturable"] = capturable
    for state in optimizer.state.values():
        state |= {key: number.to(device) for key, number in state.items()}
