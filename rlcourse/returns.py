"""Returns of whole episodes."""

import numpy as np
from jaxtyping import Float
from scipy.signal import lfilter


def discounted_returns(rewards: Float[np.ndarray, " T"], gamma: float) -> Float[np.ndarray, " T"]:
    r"""The return from every step of one episode, $G_t = r_t + \gamma G_{t+1}$, from rewards `(T,)` ([SB] eq. 3.9)."""
    # The recursion run backwards in time is a first-order linear filter.
    return np.asarray(lfilter([1.0], [1.0, -gamma], rewards[::-1]))[::-1]
