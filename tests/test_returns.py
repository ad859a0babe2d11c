"""Returns of whole episodes."""

import numpy as np
import pytest

from rlcourse.returns import discounted_returns


def test_discounted_returns_by_hand() -> None:
    # 3; 2 + 0.5·3 = 3.5; 1 + 0.5·3.5 = 2.75
    np.testing.assert_allclose(discounted_returns(np.array([1.0, 2.0, 3.0]), 0.5), [2.75, 3.5, 3.0])
    assert discounted_returns(np.array([1.0, 2.0]), 0.0).tolist() == [1, 2]
    assert discounted_returns(np.ones(3), 1.0) == pytest.approx([3, 2, 1])
