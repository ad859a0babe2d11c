"""What an agent is handed after each step."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Transition:
    """One step of experience, or a batch of steps if the fields are arrays of equal leading shape.

    Attributes:
        obs: the observation the action was chosen in.
        action: the action.
        reward: what it paid.
        next_obs: the observation that followed; at an episode's end the last one, not the next episode's first.
        terminated: the world ended the episode: nothing after it counts, so do not bootstrap.
        truncated: we ended the episode (a time limit): the world would have gone on, so bootstrap.
    """

    obs: Any
    action: Any
    reward: Any
    next_obs: Any
    terminated: Any
    truncated: Any
