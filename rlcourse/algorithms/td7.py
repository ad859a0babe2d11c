r"""TD7 = TD3 + embeddings (SALE), prioritised replay (LAP), clipped targets, policy checkpoints; offline, copying.

Papers: Fujimoto et al. (2023), *For SALE: state-action representation learning for deep reinforcement learning* [TD7],
with its authors' code [TD7 code]; Fujimoto et al. (2020), *An equivalence between loss functions and non-uniform
sampling in experience replay* [LAP]; Fujimoto et al. (2018), *Addressing function approximation error in actor-critic
methods* [TD3].

| function | equation |
|---|---|
| `avg_l1_norm` | [TD7] eq. 3 |
| `encoder_loss` | [TD7] eq. 13 |
| `bellman_target` | [TD7] eq. 16 to 19 |
| `smoothing_noise` | [TD7] eq. 19; [TD3] eq. 15 |
| `huber`, `priority` | [LAP] eq. 9; [TD7] eq. 30 and 31 |
| `critic_loss` | [TD7] eq. 15; [TD3] algorithm 1 |
| `actor_loss` | [TD7] eq. 22 to 25 |
| `TD7.update` | [TD7] algorithm 2 |
| `TD7.learn` | [TD7] algorithm 4 |

A ladder leads here from TD3: `appendix_changes`, `lap`, `sale`, `clip_target`, `checkpoints`, each one switch. With all
of them off it is TD3.
"""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812  (everyone's name for it)
from gymnasium.spaces import Space
from jaxtyping import Float
from torch import Tensor, nn

from rlcourse.algorithms.prioritisation import pal
from rlcourse.buffers import Batch, PrioritizedReplay, ReplayBuffer, Transition
from rlcourse.checkpoints import Stateful
from rlcourse.config import Count, Discount, NonNegative, OutOfRangeError, Positive, Probability, check
from rlcourse.nets import action_size, generators, mlp, parallel, polyak_update


@dataclass(frozen=True)
class Config:
    gamma: Discount = 0.99  # per step [TD7] table 3
    lr: Positive = 3e-4  # of Adam, for encoder, actor and critics [TD7] table 3
    batch_size: Count = 256  # transitions per update [TD7] table 3
    hidden: tuple[Count, ...] = (256, 256)  # units of each hidden layer [TD7] table 3
    buffer_size: Count = 1_000_000  # transitions [TD7] table 3
    learning_starts: Count = 25_000  # steps of random actions before the first update [TD7] table 3
    tau: Probability = 0.005  # without `appendix_changes`: how far target networks go towards the online ones
    exploration_noise: NonNegative = 0.1  # standard deviation [TD7] table 3
    policy_every: Count = 2  # critic updates per update of the actor [TD7] table 3
    target_noise: NonNegative = 0.2  # standard deviation of the noise on the target's action [TD7] table 3
    noise_clip: NonNegative = 0.5  # largest size of that noise [TD7] table 3
    appendix_changes: bool = True  # hard copies, actor on the mean critic, ELU, normed inputs [TD7] appendix
    target_every: Count = 250  # updates between two hard copies [TD7] table 3
    lap: bool = True  # prioritised sampling with the loss that fits it [LAP]
    priority_exponent: Probability = 0.4  # α of LAP [TD7] table 3
    pal: bool = False  # its twin in its place: even sampling, and the loss with the same expected gradient [LAP]
    min_priority: Positive = 1.0  # LAP's floor, and where its loss turns linear [TD7] table 3
    sale: bool = True  # embeddings of states and state-action pairs; needs `appendix_changes`
    embedding: Count = 256  # numbers in an embedding [TD7] table 3
    normed: bool = True  # AvgL1Norm on the embeddings of states [TD7] eq. 3
    encoder_target: Literal["embedding", "state", "reward"] = "embedding"  # what z^sa predicts [TD7] figure 3
    critic_input: Literal["both", "state", "pair"] = "both"  # embeddings that critics see [TD7] figure 3
    end_to_end: bool = False  # critics see the learning encoder and train it, too [TD7] figure 3
    clip_target: bool = True  # keep the next value within the targets seen [TD7] eq. 16
    checkpoints: bool = True  # assess policies, keep the best, train between assessments [TD7] algorithm 4
    assessment_episodes: Count = 20  # of each assessment, at most, late in training [TD7] table 3
    late_after: Count = 750_000  # updates until late in training; before, an assessment is one episode [TD7] table 3
    reset_weight: Probability = 0.9  # of the best minimum when that changes [TD7] table 3
    copying: NonNegative = 0.0  # λ of the term that copies the data's actions; offline 0.1 [TD7] table 3

    def __post_init__(self) -> None:
        check(self)
        for name in ("lap", "sale", "clip_target"):
            if getattr(self, name) and not self.appendix_changes:
                raise OutOfRangeError(
                    f"td7.Config.{name} = True needs appendix_changes = True: it acts when targets are copied. "
                    "Switch off lap, sale and clip_target, too"
                )
        if self.lap and self.pal:
            raise OutOfRangeError("td7.Config.pal = True needs lap = False: it is LAP's loss without LAP's sampling")
        designs = self.encoder_target, self.critic_input, self.end_to_end
        if designs != ("embedding", "both", False) and not self.sale:
            raise OutOfRangeError(
                "td7.Config: encoder_target, critic_input and end_to_end need sale = True, else nothing is embedded"
            )


def avg_l1_norm(x: Float[Tensor, "*B N"]) -> Float[Tensor, "*B N"]:
    r"""$x \,/\, \frac{1}{N} \sum_i |x_i|$: numbers of size 1 on average, whatever they were."""
    return x / x.abs().mean(-1, keepdim=True).clamp(min=1e-8)


class Encoder(nn.Module):
    """SALE: `state` embeds a state, z^s; `pair` embeds an action in it, z^sa, to predict the next state's.

    `head` makes of z^sa what is predicted in its place, the next state `(B, O)` or the reward `(B, 1)`. Without `sale`
    the embeddings are empty, `(B, 0)`: actor and critic then see states and actions only.
    """

    def __init__(self, obs_size: int, action_size: int, config: Config, generator: torch.Generator) -> None:
        super().__init__()
        self.on, self.normed = config.sale, config.normed
        self.f = mlp([obs_size, *config.hidden, config.embedding], generator, nn.ELU)
        self.g = mlp([config.embedding + action_size, *config.hidden, config.embedding], generator, nn.ELU)
        outputs = {"embedding": None, "state": obs_size, "reward": 1}[config.encoder_target]
        self.head = nn.Identity() if outputs is None else mlp([config.embedding, outputs], generator)

    def state(self, obs: Float[Tensor, "*B O"]) -> Float[Tensor, "*B E"]:
        if not self.on:
            return obs[..., :0]
        return avg_l1_norm(self.f(obs)) if self.normed else self.f(obs)

    def pair(self, z_s: Float[Tensor, "*B E"], action: Float[Tensor, "*B A"]) -> Float[Tensor, "*B E"]:
        return self.g(torch.cat([z_s, action], -1)) if self.on else z_s


class Actor(nn.Module):
    """A deterministic policy: observations `(*B, obs_size)` and their embeddings → actions in [−1, 1].

    With `appendix_changes` the observation first goes through a layer of its own, to the embeddings' scale.
    """

    def __init__(self, obs_size: int, action_size: int, config: Config, generator: torch.Generator) -> None:
        super().__init__()
        first = config.hidden[0] if config.appendix_changes else obs_size
        self.entry = mlp([obs_size, first], generator) if config.appendix_changes else None
        self.net = mlp([first + config.sale * config.embedding, *config.hidden, action_size], generator)

    def forward(self, obs: Float[Tensor, "*B O"], z_s: Float[Tensor, "*B E"]) -> Float[Tensor, "*B A"]:
        x = obs if self.entry is None else avg_l1_norm(self.entry(obs))
        return self.net(torch.cat([x, z_s], -1)).tanh()


class TwinCritic(nn.Module):
    """Two Q-functions: observations, actions and the embeddings of both → `(2, B)`; entered as in `Actor`."""

    def __init__(self, obs_size: int, action_size: int, config: Config, generator: torch.Generator) -> None:
        super().__init__()
        inputs, self.normed, self.sees = obs_size + action_size, config.appendix_changes, config.critic_input
        first = config.hidden[0] if self.normed else inputs
        embeddings = config.sale * (2 if self.sees == "both" else 1)
        sizes = [first + embeddings * config.embedding, *config.hidden, 1]
        nets = [
            [*(mlp([inputs, first], generator) if self.normed else ()), *mlp(sizes, generator)] for _ in range(2)
        ]  # one whole network after the other
        self.layers = parallel(nets)

    def forward(
        self,
        obs: Float[Tensor, "B O"],
        action: Float[Tensor, "B A"],
        z_s: Float[Tensor, "B E"],
        z_sa: Float[Tensor, "B E"],
    ) -> Float[Tensor, "2 B"]:
        seen = {"both": (z_sa, z_s), "state": (z_s,), "pair": (z_sa,)}[self.sees]
        x, embedded = (torch.cat(each, -1).expand(2, -1, -1) for each in ((obs, action), seen))
        layers = list(self.layers)
        if self.normed:
            x = avg_l1_norm(layers.pop(0)(x))
        x = layers.pop(0)(torch.cat([x, embedded], -1))
        for layer in layers:
            x = layer(F.elu(x) if self.normed else x.relu())
        return x.squeeze(-1)


PolicyFunction = Callable[[Tensor], Tensor]  # observations (B, O) → actions (B, A)
QFunction = Callable[[Tensor, Tensor], Tensor]  # observations (B, O), actions (B, A) → action values (N, B)


def bind_embeddings(
    encoder: Encoder, obs: Float[Tensor, "B O"], actor: Actor, critic: TwinCritic
) -> tuple[PolicyFunction, QFunction]:
    """Actor and critic as functions of states and actions alone, seen through `encoder`, in the states `obs` only."""
    z_s = encoder.state(obs)
    return lambda obs: actor(obs, z_s), lambda obs, action: critic(obs, action, z_s, encoder.pair(z_s, action))


def encoder_loss(predicted: Float[Tensor, "B E"], next_z_s: Float[Tensor, "B E"]) -> Float[Tensor, ""]:
    r"""$\frac{1}{BE} \sum (z^{sa} - |z^{s'}|_\times)^2$, where $|\cdot|_\times$ lets no gradient through."""
    return (predicted - next_z_s.detach()).square().mean()


def bellman_target(
    batch: Batch,
    target_actor: PolicyFunction,
    target_critic: QFunction,
    gamma: float,
    noise: Float[Tensor, "B A"],
    low: float,
    high: float,
) -> Float[Tensor, " B"]:
    r"""$y = r + \gamma\,(1 - \text{terminated})\, \mathrm{clip}(\min_i Q'_i(s', a'), Q_{\min}, Q_{\max})$,
    $a' = \mathrm{clip}(\mu'(s') + \epsilon, -1, 1)$.

    Shapes: reward `(B,)` → y `(B,)`.
    """
    next_action = (target_actor(batch.next_obs) + noise).clamp(-1, 1)
    next_q = target_critic(batch.next_obs, next_action).amin(0).clamp(low, high)  # (N, B) → (B,)
    return batch.reward + gamma * (1 - batch.terminated) * next_q


def smoothing_noise(normal: Float[Tensor, "B A"], scale: float, clip: float) -> Float[Tensor, "B A"]:
    r"""$\epsilon = \mathrm{clip}(\sigma z, -c, c)$ for standard normal z."""
    return (scale * normal).clamp(-clip, clip)


def huber(error: Float[Tensor, "*B"], threshold: float) -> Float[Tensor, "*B"]:
    r"""$\frac12 \delta^2$ where $|\delta| \le \kappa$, $\kappa |\delta|$ beyond.

    Like the authors we leave out the $-\frac12 \kappa^2$ that would join the two parts: only the gradient matters.
    """
    threshold = min(threshold, torch.finfo(error.dtype).max)  # infinity times the other part's gradient of 0 is NaN
    size = error.abs()
    return torch.where(size <= threshold, 0.5 * error.square(), threshold * size)


def critic_loss(q: Float[Tensor, "N B"], target: Float[Tensor, " B"], threshold: float | None) -> Float[Tensor, ""]:
    r"""$\sum_i \frac{1}{B} \sum_j \mathrm{Huber}(y_j - Q_i(s_j, a_j))$; without a threshold TD3's squares."""
    error = target - q
    return (error.square() if threshold is None else huber(error, threshold)).mean(-1).sum()


def priority(error: Float[Tensor, "N B"], exponent: float, floor: float) -> Float[Tensor, " B"]:
    r"""LAP: $\max(\max_i |\delta_i|, \kappa)^\alpha$: all transitions with errors below κ are drawn equally often."""
    return error.abs().amax(0).clamp(min=floor).pow(exponent)


def actor_loss(
    batch: Batch, actor: PolicyFunction, critic: QFunction, critics: int, copying: float
) -> Float[Tensor, ""]:
    r"""$-\bar Q + \lambda\, |\overline{|Q|}|_\times\, \overline{(\mu(s) - a)^2}$; means over the first `critics`, too.

    Divided by $\lambda\, \overline{|Q|}$ it is TD3+BC's loss, $\alpha = 1/\lambda$: its gradient points the same way.
    The paper's eq. 22 has no absolute value: read literally, the term would push *away* from the data where Q < 0.
    """
    action = actor(batch.obs)
    q = critic(batch.obs, action)[:critics]
    return -q.mean() + copying * q.detach().abs().mean() * (action - batch.action).square().mean()


class TD7(Stateful):
    """A `loop.Agent` for continuous actions and vector observations.

    Attributes:
        actor, target_actor: observations `(*B, obs_size)` and embeddings → actions.
        critic, target_critic: observations, actions and their embeddings → `(2, B)`.
        encoder, fixed_encoder, target_encoder: three generations: learning, for actor and critic, for their targets.
        checkpoint_actor, checkpoint_encoder: the best policy assessed so far, which acts where nothing is explored.
    """

    def __init__(
        self, obs_size: int, action_space: Space, config: Config, seed: int, replay: ReplayBuffer | None = None
    ) -> None:
        self.config, self.action_size = config, action_size(action_space)
        initialisation, self._exploration, self._sampling, self._smoothing = generators(seed, 4)
        sizes = obs_size, self.action_size, config, initialisation
        self.actor, self.critic, self.encoder = Actor(*sizes), TwinCritic(*sizes), Encoder(*sizes)
        self.target_actor = copy.deepcopy(self.actor).requires_grad_(False)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.fixed_encoder = self.encoder if config.end_to_end else copy.deepcopy(self.encoder).requires_grad_(False)
        self.target_encoder = copy.deepcopy(self.encoder).requires_grad_(False)
        self.checkpoint_actor = copy.deepcopy(self.actor).requires_grad_(False)
        self.checkpoint_encoder = copy.deepcopy(self.encoder).requires_grad_(False)
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=config.lr, fused=True)
        learning = [*self.critic.parameters(), *(self.encoder.parameters() if config.end_to_end else ())]
        self.critic_optimizer = torch.optim.Adam(learning, lr=config.lr, fused=True)
        self.encoder_optimizer = torch.optim.Adam(self.encoder.parameters(), lr=config.lr, fused=True)
        memory = PrioritizedReplay if config.lap else ReplayBuffer
        self.replay = memory(config.buffer_size, (obs_size,), (self.action_size,)) if replay is None else replay
        self.steps = self.updates = 0
        # The next value is kept between these bounds, until a copy brings new ones.
        self._target_bounds = (0.0, 0.0) if config.clip_target else (-math.inf, math.inf)
        self._targets_seen = (math.inf, -math.inf)  # the smallest and the largest target so far
        self._best = -math.inf  # the smallest return of the checkpoint's assessment
        self._minimum = math.inf  # the smallest return so far of the policy being assessed
        self._return, self._episodes, self._collected = 0.0, 0, 0  # of this episode; of this assessment, with its steps
        self._over = self._assessing = False
        self._updates_due = 0  # updates that the steps of the last assessment allow

    def act(self, obs: Any, explore: bool = True) -> Any:
        config = self.config
        if explore and self.steps < config.learning_starts:
            return torch.empty(self.action_size).uniform_(-1, 1, generator=self._exploration).numpy()
        stored = config.checkpoints and not explore
        actor, encoder = (
            (self.checkpoint_actor, self.checkpoint_encoder) if stored else (self.actor, self.fixed_encoder)
        )
        with torch.inference_mode():
            obs = torch.as_tensor(obs, dtype=torch.float32)
            action = actor(obs, encoder.state(obs))
        if explore:
            normal = torch.randn(self.action_size, generator=self._exploration)
            action = (action + config.exploration_noise * normal).clamp(-1, 1)
        return action.numpy()

    def value(self, obs: Any, action: Any) -> float:
        """The first critic's estimate of Q(s, a)."""
        with torch.inference_mode():
            obs, action = (torch.as_tensor(x, dtype=torch.float32)[None] for x in (obs, action))
            _, critic = bind_embeddings(self.fixed_encoder, obs, self.actor, self.critic)
            return float(critic(obs, action)[0])

    def observe(self, transition: Transition) -> None:
        self.steps += 1
        self.replay.add(transition)
        self._return += float(transition.reward)
        self._collected += 1
        self._over = transition.terminated or transition.truncated

    def drop_episode(self) -> None:
        if not self._over:  # its steps count for the updates to come, its return not for the assessment
            self._return = 0.0

    def learn(self) -> Iterator[dict[str, float]]:
        config = self.config
        if self.steps < config.learning_starts:
            return
        if not config.checkpoints:
            self._updates_due = 1
        elif self._over:
            self._assess()
        while self._updates_due:
            self._updates_due -= 1
            if self.updates == config.late_after:
                self._best *= config.reset_weight  # longer assessments have lower minima; below 0 this raises the bar
            yield self.update(self.replay.sample(config.batch_size, self._sampling))

    def _assess(self) -> None:
        """After an episode: go on assessing this policy, or keep it as the best so far, or give it up; then train."""
        self._minimum = min(self._minimum, self._return)
        self._episodes, self._return = self._episodes + 1, 0.0
        late = self.updates >= self.config.late_after
        if not self._assessing:  # an episode that began at random says nothing
            self._assessing, self._collected = True, 0
        elif self._minimum >= self._best:
            if self._episodes < (self.config.assessment_episodes if late else 1):
                return
            self._best = self._minimum
            self.checkpoint_actor.load_state_dict(self.actor.state_dict())
            self.checkpoint_encoder.load_state_dict(self.fixed_encoder.state_dict())
        self._updates_due += self._collected
        self._minimum, self._episodes, self._collected = math.inf, 0, 0

    def update(self, batch: Batch) -> dict[str, float]:
        config = self.config
        metrics = {}
        # Encoder: predict the next state's embedding.
        if config.sale:
            predicted = self.encoder.pair(self.encoder.state(batch.obs), batch.action)
            with torch.no_grad():
                next_z_s = self.encoder.state(batch.next_obs)
            wanted = {"embedding": next_z_s, "state": batch.next_obs, "reward": batch.reward[:, None]}
            prediction_loss = encoder_loss(self.encoder.head(predicted), wanted[config.encoder_target])
            self.encoder_optimizer.zero_grad()
            prediction_loss.backward()
            self.encoder_optimizer.step()
            metrics = {"encoder_loss": prediction_loss.item()}

        # Critic: towards the clipped target, through the fixed encoders.
        normal = torch.randn(batch.action.shape, generator=self._smoothing, dtype=torch.float32)
        noise = smoothing_noise(normal, config.target_noise, config.noise_clip)
        with torch.no_grad():
            targets = bind_embeddings(self.target_encoder, batch.next_obs, self.target_actor, self.target_critic)
            target = bellman_target(batch, *targets, config.gamma, noise, *self._target_bounds)
        actor, critic = bind_embeddings(self.fixed_encoder, batch.obs, self.actor, self.critic)
        q = critic(batch.obs, batch.action)
        if config.pal:
            twin = [pal(error, config.priority_exponent, config.min_priority) for error in target - q]
            loss = torch.stack(twin).mean(-1).sum()
        else:
            loss = critic_loss(q, target, config.min_priority if config.lap else None)
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()
        self.updates += 1
        metrics |= {"critic_loss": loss.item(), "q": q.mean().item()}

        # LAP: new priorities for the transitions of this batch.
        if isinstance(self.replay, PrioritizedReplay):
            error = (target - q).detach()
            self.replay.update_priorities(batch.indices, priority(error, config.priority_exponent, config.min_priority))
        if config.clip_target:
            low, high = (float(end) for end in target.aminmax())
            self._targets_seen = min(self._targets_seen[0], low), max(self._targets_seen[1], high)

        # Actor: climb the mean of both critics, once in `policy_every` updates.
        if self.updates % config.policy_every == 0:
            policy_loss = actor_loss(batch, actor, critic, 2 if config.appendix_changes else 1, config.copying)
            self.actor_optimizer.zero_grad()
            policy_loss.backward(inputs=list(self.actor.parameters()))  # no gradient is stored for the critic
            self.actor_optimizer.step()
            metrics |= {"actor_loss": policy_loss.item()}
            if not config.appendix_changes:
                polyak_update(self.target_actor, self.actor, config.tau)
                polyak_update(self.target_critic, self.critic, config.tau)

        # Copies: once in `target_every` updates the targets and the fixed encoders move on.
        if config.appendix_changes and self.updates % config.target_every == 0:
            self._copy()
        return metrics

    def _copy(self) -> None:
        """Every generation moves on by one; what was measured since the last copy takes effect."""
        polyak_update(self.target_actor, self.actor, 1)
        polyak_update(self.target_critic, self.critic, 1)
        if self.config.sale:
            polyak_update(self.target_encoder, self.fixed_encoder, 1)
            polyak_update(self.fixed_encoder, self.encoder, 1)
        if self.config.clip_target:
            self._target_bounds = self._targets_seen
        if isinstance(self.replay, PrioritizedReplay):
            self.replay.reset_max_priority()
