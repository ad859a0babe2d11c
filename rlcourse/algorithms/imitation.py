r"""Imitation = cloning + other classes of policies + interventions by the expert, where the clone needs help.

Papers: Ross, Gordon and Bagnell (2011), *A reduction of imitation learning and structured prediction to no-regret
online learning* [DAgger]; Kelly et al. (2019), *HG-DAgger: interactive imitation learning with human experts* [HG]. The
classes of policies have pages of their own: `cloning` (one action, or a mixture), `autoregressive` and `diffusion`.

| function | equation |
|---|---|
| `Imitation.act` | [DAgger] algorithm 3.1, the mixed policy with $\beta_1 = 1$, then $\beta_i = 0$; [HG] algorithm 1 |
| `disagreement` | the doubt of [HG], here as a distance between actions |

With *interventions* the clone acts until it needs help; then the expert has full control for a stretch, and only its
own steps are labels. All rounds have equal numbers of labels.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from rlcourse.algorithms.autoregressive import AutoregressivePolicy
from rlcourse.algorithms.cloning import Demonstrations, MixturePolicy, actor_loss, squared_error
from rlcourse.algorithms.diffusion import DiffusionPolicy, noised
from rlcourse.buffers import Transition
from rlcourse.checkpoints import Stateful
from rlcourse.config import Count, CountOrZero, OutOfRangeError, Positive, check
from rlcourse.nets import generators, mlp


@dataclass(frozen=True)
class Config:
    # Tuned on rlcourse/Road-v0 and rlcourse/TwoWays-v0: the course's own.
    lr: Positive = 1e-3  # of Adam
    batch_size: Count = 64  # pairs of observation and action per update
    hidden: tuple[Count, ...] = (32, 32)  # units of each hidden layer
    # At most one of the next three is not 0: the policy's class. If all are 0, it is one action, by squared error.
    components: CountOrZero = 0  # of a mixture, as in `cloning`
    bins: CountOrZero = 0  # of each number of the action, in an `autoregressive` policy
    noise_steps: CountOrZero = 0  # from noise to an action, in a `diffusion` policy
    dagger: bool = False  # after the first round the clone acts and the expert corrects [DAgger]
    stretch: CountOrZero = 0  # steps of each intervention; 0 is none [HG]
    threshold: Positive = 0.05  # disagreement from which the expert is called, if nobody watches
    members: Count = 1  # networks that learn the same, of which the first one acts
    round_steps: Count = 200  # labels per round: environment steps in which the expert acts or is asked
    updates: Count = 200  # gradient steps after each round, on all rounds' data

    def __post_init__(self) -> None:
        check(self)
        for names in (("components", "bins", "noise_steps"), ("dagger", "stretch")):
            chosen = [f"{name} = {getattr(self, name)}" for name in names if getattr(self, name)]
            if len(chosen) > 1:
                raise OutOfRangeError(f"imitation.Config: {' and '.join(chosen)} exclude each other, choose one")


def disagreement(actions: Float[Tensor, "M *B A"]) -> Float[Tensor, " *B"]:
    r"""$\sqrt{\sum_i \mathrm{Var}_m\, a_i^{(m)}}$: how far apart M networks are that have learned the same."""
    return actions.var(0, unbiased=False).sum(-1).sqrt()


class Imitation(Stateful):
    """A clone that learns a box of actions in [−1, 1] from what an expert would do.

    Args:
        obs_size: numbers in an observation.
        action_size: numbers in an action.
        expert: observation → action.
        gate: who watches while the clone acts: observation → whether the expert takes over now. None leaves it to the
            clone, which calls for help where its networks disagree by more than `threshold`.

    Attributes:
        policy: `(*B, obs_size)` → actions `(*B, action_size)`, a `Mixture`, `Autoregressive` or `Diffusion` actions.
        members: all the networks, the policy first.
        steps: transitions observed.

    Raises:
        ValueError: nobody watches, and a single network has nobody to disagree with.
    """

    def __init__(
        self,
        obs_size: int,
        action_size: int,
        expert: Callable[[Any], np.ndarray],
        config: Config,
        seed: int,
        gate: Callable[[Any], bool] | None = None,
    ) -> None:
        if config.stretch and gate is None and config.members == 1:
            raise ValueError(f"stretch = {config.stretch}: a gate, or members = 5, must say when the expert takes over")
        self.config, self.expert, self._gate = config, expert, gate
        initialisation, self._sampling, self._noise, self._driving, self._evaluating = generators(seed, 5)
        self.members = nn.ModuleList(
            _network(obs_size, action_size, config, initialisation) for _ in range(config.members)
        )
        self.optimizer = torch.optim.Adam(self.members.parameters(), lr=config.lr, fused=True)
        self.demonstrations = Demonstrations()
        self.steps = 0
        self._expert_acts, self._stretch = True, 0  # and steps for which it still has control

    @property
    def policy(self) -> nn.Module:
        return self.members[0]

    @property
    def labels(self) -> int:
        """Actions that the expert has shown or said."""
        return len(self.demonstrations)

    def act(self, obs: Any, explore: bool = True) -> np.ndarray:
        """While exploring: whoever drives now."""
        if explore:
            self._expert_acts = self._takes_over(obs)
            if self._expert_acts:
                return self.expert(obs)
        with torch.inference_mode():
            given = torch.as_tensor(obs, dtype=torch.float32)
            return self._chosen(self.policy, given, self._driving if explore else self._evaluating).numpy()

    def _takes_over(self, obs: Any) -> bool:
        """Whether the expert has control in this step; an intervention begins here."""
        config = self.config
        if self.labels < config.round_steps or not (config.dagger or config.stretch):
            return True
        if config.stretch and not self._stretch:
            helpless = self.doubt(obs) > config.threshold if self._gate is None else self._gate(obs)
            self._stretch = config.stretch if helpless else 0
        return self._stretch > 0

    def doubt(self, obs: Float[np.ndarray, "*B O"]) -> Float[np.ndarray, " *B"]:
        """How much the networks disagree about what to do; what two of them sample differs for other reasons, too."""
        with torch.inference_mode():
            given = torch.as_tensor(obs, dtype=torch.float32)
            return disagreement(
                torch.stack([self._chosen(each, given, self._driving) for each in self.members])
            ).numpy()

    def _chosen(self, policy: nn.Module, obs: Tensor, generator: torch.Generator) -> Tensor:
        """The likeliest action of a policy that has a density, or a sample of one that has none."""
        output, config = policy(obs), self.config
        if config.noise_steps:
            output = output.sample(generator)
        elif config.components or config.bins:
            output = output.mode
        return output.clamp(-1, 1)

    def observe(self, transition: Transition) -> None:
        """Keep what the expert did; in DAgger also what it would have done."""
        self.steps += 1
        if self._expert_acts or self.config.dagger:
            action = transition.action if self._expert_acts else self.expert(transition.obs)
            self.demonstrations.add(transition.obs, action)
        over = transition.terminated or transition.truncated
        self._stretch = 0 if over else max(self._stretch - 1, 0)

    def drop_episode(self) -> None:
        """A new episode begins with the clone."""
        self._stretch = 0

    def learn(self) -> Iterator[dict[str, float]]:
        config = self.config
        for batch in self.demonstrations.batches(config.round_steps, config.updates, config.batch_size, self._sampling):
            yield self.update(*batch)

    def update(self, obs: Float[Tensor, "B O"], action: Float[Tensor, "B A"]) -> dict[str, float]:
        losses = torch.stack([self._loss(policy, obs, action) for policy in self.members])
        self.optimizer.zero_grad()
        losses.sum().backward()
        self.optimizer.step()
        return {"loss": losses.mean().item()}

    def _loss(self, policy: nn.Module, obs: Tensor, action: Tensor) -> Tensor:
        output, config = policy(obs), self.config
        if config.noise_steps:
            share = output.kept[torch.randint(1, config.noise_steps + 1, action.shape[:1], generator=self._noise)]
            noise = torch.randn(action.shape, generator=self._noise, dtype=action.dtype)
            return squared_error(output.guess(noised(action, noise, share), share), action)
        return (
            actor_loss(output.log_prob(action)) if config.components or config.bins else squared_error(output, action)
        )


def _network(obs_size: int, action_size: int, config: Config, generator: torch.Generator) -> nn.Module:
    sizes = obs_size, action_size
    if config.components:
        return MixturePolicy(*sizes, config.components, config.hidden, generator)
    if config.bins:
        return AutoregressivePolicy(*sizes, config.bins, config.hidden, generator)
    if config.noise_steps:
        return DiffusionPolicy(*sizes, config.noise_steps, config.hidden, generator)
    return mlp([obs_size, *config.hidden, action_size], generator)
