"""Agents broken by one line, and the first rung of the ladder that finds it: `python -m tests.broken_agents`.

The table stands in workshop 2 and is tested in `test_broken_agents`.
"""

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

from rlcourse import probes, workshop
from rlcourse.workshop import ladder


@dataclass(frozen=True)
class Broken:
    """A mistake of one line in a part of a page, and the name of the first world that finds it; "" if none does."""

    page: str
    mistake: str
    part: str
    old: str
    new: str
    found_by: str
    continuous: bool = False

    @property
    def module(self) -> ModuleType:
        return import_module(f"rlcourse.algorithms.{self.page}")

    def climb(self) -> str:
        """The name of the first world that it fails in."""
        broken = workshop.broken(workshop.assemble(self.module), self.part, self.old, self.new)
        found = ladder.of_page(broken.module, self.continuous, stop=True).first
        if found is None:
            return ""
        assert found.rows, found.error  # else it is found by its exception
        return found.rung.world.__name__


BROKEN = (
    Broken("dqn", "no optimiser step", "update", "    self.optimizer.step()\n", "", "ConstantReward"),
    Broken("dqn", "no terminal mask", "bellman_target", "(1 - batch.terminated) * ", "", "ConstantReward"),
    Broken("dqn", "the loss is walked uphill", "critic_loss", "return (", "return -(", "ConstantReward"),
    Broken(
        "dqn",
        "every transition goes into the same row of the memory",
        "ReplayBuffer",
        "(self._position + 1) % self.capacity",
        "0",
        "ActionMatters",
    ),
    Broken("dqn", "a (B, 1) meets a (B,)", "update", "[:, None]).squeeze(-1)", "[:, None])", "ObservationMatters"),
    Broken("dqn", "γ is missing", "bellman_target", "gamma * (", "1 * (", "Discounting"),
    Broken(
        "dqn",
        "`obs` instead of `next_obs` in the target",
        "bellman_target",
        "batch.next_obs",
        "batch.obs",
        "Discounting",
    ),
    Broken("dqn", "the target network never follows", "update", "config.tau", "0.0", "Discounting"),
    Broken(
        "dqn",
        "the largest Q instead of the Q of the action taken",
        "update",
        "gather(-1, batch.action[:, None]).squeeze(-1)",
        "amax(-1)",
        "ConstantReward",
    ),
    Broken("dqn", "the worst action for the greedy one", "act", "argmax", "argmin", "ActionMatters"),
    Broken("dqn", "nothing is explored", "act", "< self.epsilon", "< 0", "ConstantReward"),
    Broken("dqn", "minimum instead of maximum in the target", "bellman_target", "amax", "amin", "NextActionMatters"),
    Broken("dqn", "average instead of maximum in the target", "bellman_target", "amax", "mean", "NextActionMatters"),
    Broken(
        "dqn",
        "a time limit is stored as an end",
        "ReplayBuffer",
        '"terminated": transition.terminated',
        '"terminated": transition.terminated or transition.truncated',
        "TruncationIsNotTermination",
    ),
    Broken(
        "dqn",
        "no target network",
        "update",
        "bellman_target(batch, self.target_q,",
        "bellman_target(batch, self.q,",
        "",
    ),
    Broken("q_iteration", "no terminal mask", "bellman_target", "(1 - batch.terminated) * ", "", "ConstantReward"),
    Broken(
        "q_iteration", "the step goes away from the target", "update", "+= step_size", "-= step_size", "ConstantReward"
    ),
    Broken("q_iteration", "the target replaces γ by 1", "bellman_target", "gamma * (", "1 * (", "Discounting"),
    Broken(
        "q_iteration",
        "always the first action's entry is updated",
        "update",
        "batch.obs, batch.action",
        "batch.obs, 0",
        "ConstantReward",
    ),
    Broken("q_iteration", "the worst next action", "bellman_target", ".max(-1)", ".min(-1)", "NextActionMatters"),
    Broken("reinforce", "the sign of the gradient", "actor_loss", "return -", "return ", "ActionMatters"),
    Broken(
        "reinforce",
        "returns and log-probabilities of different steps",
        "update",
        "advantage, reward",
        "advantage.flip(0), reward",
        "ActionMatters",
    ),
    Broken(
        "actor_critic",
        "a (B, 1) meets a (B,)",
        "update",
        "value = self.critic(obs).squeeze(-1)",
        "value = self.critic(obs)",
        "ObservationMatters",
    ),
    Broken("actor_critic", "the advantage keeps its gradient", "update", "value.detach()", "value", "ConstantReward"),
    Broken(
        "actor_critic",
        "a time limit is taken for an end",
        "update",
        "rollout.terminated, rollout.truncated",
        "rollout.terminated | rollout.truncated, rollout.truncated",
        "TruncationIsNotTermination",
    ),
    Broken("ppo", "the sign of the advantage", "update", "samples.advantage", "-samples.advantage", "ActionMatters"),
    Broken(
        "ppo",
        "stale log-probabilities: those of the whole rollout's first row",
        "update",
        "samples.old_log_prob",
        "samples.old_log_prob[:1]",
        "",
    ),
    Broken(
        "ppo",
        "minibatches mix rows of observations and targets",
        "update",
        "samples.target)",
        "samples.target.flip(0))",
        "ObservationMatters",
    ),
    Broken("ddpg", "the actor goes downhill", "actor_loss", "return -", "return ", "ActionMatters", True),
    Broken("ddpg", "no terminal mask", "bellman_target", "(1 - batch.terminated) * ", "", "ConstantReward", True),
    Broken("td3", "the larger twin instead of the smaller", "bellman_target", "amin", "amax", "", True),
    Broken(
        "sac", "the sign of the critic in the actor's loss", "actor_loss", "- critic", "+ critic", "ActionMatters", True
    ),
)


HINDSIGHT = (  # whose rungs are worlds of goals
    Broken("her", "old rewards", "relabel", "reward=reward, ", "", "GoalReached"),
    Broken("her", "old ends", "relabel", ", terminated=terminated.expand(len(goal))", "", "GoalReached"),
    Broken("her", "asked of s", "relabel", "question: Any = next_obs", "question: Any = obs", "GoalReached"),
    Broken(
        "her", "old goal in next_obs", "relabel", "= next_obs[:, size : 2 * size] = goal", "= goal", "GoalReachedLater"
    ),
    Broken("her", "nothing relabelled", "sample", "lot < ", "lot < 0 * ", "GoalNeverSet"),
)

# The other rungs are there to name a mistake: those of slow agents fail on one of these, too.
HARDEST = tuple(
    rung
    for rung in ladder.RUNGS
    if rung.world in (probes.ObservationMatters, probes.NextActionMatters, probes.TruncationIsNotTermination)
)
QUICK = ("q_iteration", "dqn", "reinforce")  # some seconds for all rungs

PAGES = tuple(dict.fromkeys(each.page for each in BROKEN))


def table(*pages: str) -> str:
    """Markdown: which rung finds which mistake in these pages."""
    found = (each for each in (*BROKEN, *HINDSIGHT) if each.page in pages)
    rows = [f"| {each.page} | {each.mistake} | {each.found_by or 'none'} |" for each in found]
    return "\n".join(["| page | mistake | first rung that finds it |", "|---|---|---|", *rows])


if __name__ == "__main__":
    print(table(*PAGES))
