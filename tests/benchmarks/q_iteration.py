"""Q-value iteration on a large slippery grid, beside the least that memory allows and beside plain loops."""

import tracemalloc
from collections import deque
from itertools import islice
from typing import Any

import numpy as np
from rich.table import Table

from rlcourse.algorithms.q_iteration import q_iteration
from rlcourse.envs import GridWorld, TabularMDP
from tests.benchmarks.timing import interleaved, mark, results

SIDE, GAMMA, SWEEPS = 100, 0.9, 50


def tables() -> list[Table]:
    world = GridWorld("\n".join(["." * SIDE] * (SIDE - 1) + ["." * (SIDE - 1) + "G"]), slip=0.2)
    mdp = world.mdp()
    entries, outcomes = mdp.num_states * mdp.num_actions, mdp.probability.size

    # What one sweep must read and write: for each outcome its weight (8 B), its index (4 B) and the value it gathers
    # (8 B); for each entry of the table its row's bound (4 B), r (8 B), and q, written once and read once by the
    # maximum (16 B); for each state the maximum, written (8 B).
    must_move = outcomes * (8 + 4 + 8) + entries * (4 + 8 + 16) + mdp.num_states * 8
    source = np.zeros(must_move // 16)  # half of the bytes are read, half written: the same working set
    target = np.empty_like(source)

    def sweep_all(mdp: TabularMDP) -> None:
        deque(islice(q_iteration(mdp, GAMMA), SWEEPS + 1), maxlen=0)  # none is kept: the first is there for free

    def copy_all() -> None:
        for _ in range(SWEEPS):
            np.copyto(target, source)

    loops = _Loops(mdp)
    swept = interleaved(
        {
            "package": lambda: sweep_all(mdp),
            "copy": copy_all,
            "loops": loops.sweep,
        },
        rounds=7,
    )
    sweep, copy, loop = swept["package"] / SWEEPS, swept["copy"] / SWEEPS, swept["loops"]
    reference = next(islice(q_iteration(mdp, GAMMA), loops.sweeps, None))
    assert np.allclose(loops.q, reference, rtol=0, atol=1e-12), "the loops compute something else: no fair rival"

    tracemalloc.start()
    sweep_all(world.mdp())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    rows = results(f"Q-iteration, {SIDE}×{SIDE} slippery grid: {entries} entries, {outcomes} outcomes")
    rows.add_row("sweeps per second", f"{1 / sweep:.0f}", "", "")
    rows.add_row("peak memory, the world's arrays included", f"{peak / 2**20:.1f} MiB", "", "")
    rows.add_row(
        f"roofline: {must_move / 2**20:.1f} MiB at {must_move / copy / 1e9:.1f} GB/s", f"{1 / copy:.0f}/s", "", ""
    )
    rows.add_row("time, relative to the roofline", f"{sweep / copy:.1f}×", "≤ 4×", mark(sweep <= 4 * copy))
    rows.add_row("nested loops in Python", f"{1 / loop:.1f}/s", "", "")
    rows.add_row("speed, relative to the loops", f"{loop / sweep:.0f}×", "≥ 100×", mark(loop >= 100 * sweep))
    return [rows]


class _Loops:
    """The same sweep, written the way one first would; on Python's own lists and numbers, where it is fastest."""

    def __init__(self, mdp: TabularMDP) -> None:
        arrays: tuple[Any, ...] = (mdp.probability, mdp.reward, mdp.terminated, mdp.next_state)
        self.probability, self.reward, self.terminated, self.next_state = (array.tolist() for array in arrays)
        self.shape, self.sweeps = mdp.probability.shape, 0
        self.q = [[0.0] * self.shape[1] for _ in range(self.shape[0])]

    def sweep(self) -> None:
        states, actions, outcomes = (range(n) for n in self.shape)
        fresh = [[0.0] * len(actions) for _ in states]
        for s in states:
            for a in actions:
                for k in outcomes:
                    ahead = 0.0 if self.terminated[s][a][k] else GAMMA * max(self.q[self.next_state[s][a][k]])
                    fresh[s][a] += self.probability[s][a][k] * (self.reward[s][a][k] + ahead)
        self.q = fresh
        self.sweeps += 1
