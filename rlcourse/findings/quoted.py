"""Figures quoted from papers, once: lectures and findings take them from here, as the papers print them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rlcourse.curves import signed
from rlcourse.findings.phrases import table


@dataclass(frozen=True)
class Figure:
    """A printed number, and what stands after its ±."""

    value: float
    spread: float | None = None

    def __str__(self) -> str:
        places = 0 if abs(self.value) >= 1000 else 1
        spread = "" if self.spread is None else f" ± {self.spread:.{places}f}"
        return signed(self.value, places).removeprefix("+") + spread


@dataclass(frozen=True)
class Table:
    """A table of a paper.

    Attributes:
        source: the paper and the table's number.
        unit: of every figure.
        spread: what ± means.
        trials: training runs behind each figure.
        steps: environment steps (offline: updates) behind each figure, where rows do not say it.
        columns: methods.
        rows: figures by row and method.
    """

    source: str
    unit: str
    spread: str
    trials: int
    steps: str
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[Figure, ...]]

    def cell(self, row: str, column: str) -> Figure:
        """One figure.

        Raises:
            KeyError: the table has no such row or no such column.
        """
        if row not in self.rows or column not in self.columns:
            raise KeyError(f"{self.source} has no row {row!r} with a column {column!r}")
        return self.rows[row][self.columns.index(column)]

    def line(self, row: str, columns: Iterable[str] = ()) -> list[str]:
        """A row's figures, some or all, as they are shown; the highest one of several is bold."""
        figures = [self.cell(row, column) for column in tuple(columns) or self.columns]
        best = max(figure.value for figure in figures) if len(figures) > 1 else None
        return [f"**{each}**" if each.value == best else f"{each}" for each in figures]

    def markdown(self, rows: Sequence[str], columns: Iterable[str] = ()) -> str:
        """Some rows, and some columns or all, as Markdown."""
        columns = tuple(columns) or self.columns
        return table(("", *columns), [(row, *self.line(row, columns)) for row in rows])


def _rows(text: str) -> dict[str, tuple[Figure, ...]]:
    """Lines such as `Hopper 1M | 3226 ± 315 | 2785`."""
    rows = {}
    for line in text.strip().splitlines():
        name, *cells = (part.strip() for part in line.split("|"))
        rows[name] = tuple(Figure(*(float(number) for number in cell.split("±"))) for cell in cells)
    return rows


TD7_ONLINE = Table(
    source="Fujimoto et al. (2023), table 1",
    unit="MuJoCo return of the last policy",
    spread="95 % interval of the mean",
    trials=10,
    steps="300k, 1M or 5M steps",
    columns=("TD3", "SAC", "TQC", "TD3+OFE", "TD7"),
    rows=_rows("""
HalfCheetah 300k | 7715 ± 633 | 8052 ± 515 | 7006 ± 891 | 11294 ± 247 | 15031 ± 401
HalfCheetah 1M | 10574 ± 897 | 10484 ± 659 | 12349 ± 878 | 13758 ± 544 | 17434 ± 155
HalfCheetah 5M | 14337 ± 1491 | 15526 ± 697 | 17459 ± 258 | 16596 ± 164 | 18165 ± 255
Hopper 300k | 1289 ± 768 | 2370 ± 626 | 3251 ± 461 | 1581 ± 682 | 2948 ± 464
Hopper 1M | 3226 ± 315 | 2785 ± 634 | 3526 ± 244 | 3121 ± 506 | 3512 ± 315
Hopper 5M | 3682 ± 83 | 3167 ± 485 | 3462 ± 818 | 3423 ± 584 | 4075 ± 225
Walker2d 300k | 1101 ± 386 | 1989 ± 500 | 2812 ± 838 | 4018 ± 570 | 5379 ± 328
Walker2d 1M | 3946 ± 292 | 4314 ± 256 | 5321 ± 322 | 5195 ± 512 | 6097 ± 570
Walker2d 5M | 5078 ± 343 | 5681 ± 329 | 6137 ± 1194 | 6379 ± 332 | 7397 ± 454
Ant 300k | 1704 ± 655 | 1478 ± 354 | 1830 ± 572 | 6348 ± 441 | 6171 ± 831
Ant 1M | 3942 ± 1030 | 3681 ± 506 | 3582 ± 1093 | 7398 ± 118 | 8509 ± 422
Ant 5M | 5589 ± 758 | 4615 ± 2022 | 6329 ± 1510 | 8547 ± 84 | 10133 ± 966
Humanoid 300k | 1344 ± 365 | 1997 ± 483 | 3117 ± 910 | 3181 ± 771 | 5332 ± 714
Humanoid 1M | 5165 ± 145 | 4909 ± 364 | 6029 ± 531 | 6032 ± 334 | 7429 ± 153
Humanoid 5M | 5433 ± 245 | 6555 ± 279 | 8361 ± 1364 | 8951 ± 246 | 10281 ± 588
"""),
)

TD7_OFFLINE = Table(
    source="Fujimoto et al. (2023), table 2",
    unit="D4RL score: 0 is a random policy, 100 an expert",
    spread="95 % interval of the mean",
    trials=10,
    steps="1M updates",
    columns=("CQL", "TD3+BC", "IQL", "X-QL", "TD7"),
    rows=_rows("""
HalfCheetah medium | 46.7 ± 0.3 | 48.1 ± 0.1 | 47.4 ± 0.2 | 47.4 ± 0.1 | 58.0 ± 0.4
HalfCheetah medium-replay | 45.5 ± 0.3 | 44.6 ± 0.4 | 43.9 ± 1.3 | 44.2 ± 0.7 | 53.8 ± 0.8
HalfCheetah medium-expert | 76.8 ± 7.4 | 93.7 ± 0.9 | 89.6 ± 3.5 | 90.2 ± 2.7 | 104.6 ± 1.6
Hopper medium | 59.3 ± 3.3 | 59.1 ± 3.0 | 63.9 ± 4.9 | 67.7 ± 3.6 | 76.1 ± 5.1
Hopper medium-replay | 78.8 ± 10.9 | 52.0 ± 10.6 | 93.4 ± 7.8 | 82.0 ± 14.9 | 91.1 ± 8.0
Hopper medium-expert | 79.9 ± 19.8 | 98.1 ± 10.7 | 64.2 ± 32.0 | 92.0 ± 10.0 | 108.2 ± 4.8
Walker2d medium | 81.4 ± 1.7 | 84.3 ± 0.8 | 84.2 ± 1.6 | 79.2 ± 4.0 | 91.1 ± 7.8
Walker2d medium-replay | 79.9 ± 3.6 | 81.0 ± 3.4 | 71.2 ± 8.3 | 61.8 ± 7.7 | 89.7 ± 4.7
Walker2d medium-expert | 108.5 ± 1.2 | 110.5 ± 0.4 | 108.9 ± 1.4 | 110.3 ± 0.2 | 111.8 ± 0.6
Total | 656.7 ± 24.3 | 671.3 ± 15.7 | 666.7 ± 34.6 | 674.9 ± 20.4 | 784.4 ± 14.1
"""),
)

TD3_MAXIMA = Table(
    source="Fujimoto et al. (2018), table 1",
    unit="MuJoCo return, the maximum over training",
    spread="one standard deviation over trials",
    trials=10,
    steps="1M steps",
    columns=("TD3", "DDPG", "Our DDPG", "PPO", "TRPO", "ACKTR", "SAC"),
    rows=_rows("""
HalfCheetah | 9636.95 ± 859.065 | 3305.60 | 8577.29 | 1795.43 | -15.57 | 1450.46 | 2347.19
Hopper | 3564.07 ± 114.74 | 2020.46 | 1860.02 | 2164.70 | 2471.30 | 2428.39 | 2996.66
Walker2d | 4682.82 ± 539.64 | 1843.85 | 3098.11 | 3317.69 | 2321.47 | 1216.70 | 1283.67
Ant | 4372.44 ± 1000.33 | 1005.30 | 888.77 | 1083.20 | -75.85 | 1821.94 | 655.35
Reacher | -3.60 ± 0.56 | -6.51 | -4.01 | -6.18 | -111.43 | -4.26 | -4.44
InvertedPendulum | 1000.00 ± 0.00 | 1000.00 | 1000.00 | 1000.00 | 985.40 | 1000.00 | 1000.00
InvertedDoublePendulum | 9337.47 ± 14.96 | 9355.52 | 8369.95 | 8977.94 | 205.85 | 9081.92 | 8487.15
"""),
)

TABLES = (TD7_ONLINE, TD7_OFFLINE, TD3_MAXIMA)


@dataclass(frozen=True)
class Single:
    """A number that a paper states outside a table: `number` in `unit` is `what`."""

    source: str
    number: float
    unit: str
    what: str

    def __str__(self) -> str:
        return f"{self.number:g}"


HER_PLAIN = Single("HER, figure 1", 13, "bits", "the most with which DQN without hindsight still succeeds")
HER_HINDSIGHT = Single("HER, figure 1", 50, "bits", "the most shown; DQN with hindsight succeeds there")
HER_FEW = Single("HER, section 4.5", 4, "relabelled copies per transition", "one of the two best on the robots")
HER_MANY = Single("HER, section 4.5", 8, "relabelled copies per transition", "one of the two best on the robots")
SINGLES = (HER_PLAIN, HER_HINDSIGHT, HER_FEW, HER_MANY)
