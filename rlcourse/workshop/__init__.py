"""The student writes the agent: their functions in the real page, the probes, a race into the recorded band."""

from rlcourse.workshop.parts import Mine as Mine
from rlcourse.workshop.parts import assemble as assemble
from rlcourse.workshop.parts import broken as broken
from rlcourse.workshop.parts import put as put
from rlcourse.workshop.steps import Check as Check
from rlcourse.workshop.steps import compare as compare
from rlcourse.workshop.trials import probe as probe
from rlcourse.workshop.trials import race as race
from rlcourse.workshop.trials import side_by_side as side_by_side
