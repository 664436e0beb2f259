"""Benchmarks, their figures and targets."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from bench.stage import Stage


@dataclass(frozen=True, kw_only=True)
class Target:
    """A target of a figure: a minimum or maximum, in the figure's unit."""

    better: Literal["higher", "lower"]
    bound: float

    def reached_by(self, value: float) -> bool:
        """Return whether `value` reaches the target."""
        return value >= self.bound if self.better == "higher" else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.better == 'higher' else '≤'} {self.bound:,g}"


def at_least(bound: float) -> Target:
    """Return a target for a figure that should be high."""
    return Target(better="higher", bound=bound)


def at_most(bound: float) -> Target:
    """Return a target for a figure that should be low."""
    return Target(better="lower", bound=bound)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured value. A figure without a target is only reported."""

    name: str
    value: float
    unit: str
    target: Target | None = None


@dataclass(frozen=True, kw_only=True)
class Effort:
    """Number and duration of measurements.

    Each alternative is measured `rounds` times. Comparisons of servers measure for `seconds` seconds each, in turn
    (ABAB), so that other load on the machine affects all of them. `scale` multiplies amounts of data and idle times.
    """

    rounds: int = 5
    seconds: float = 2.0
    warmup_seconds: float = 1.0
    scale: float = 1.0

    def amount(self, full: int) -> int:
        """Return the amount of data: `full` times `scale`, at least 1."""
        return max(1, round(full * self.scale))


GLANCE = Effort(rounds=1, seconds=0.3, warmup_seconds=0.1, scale=0.01)
"""Enough to check that a benchmark works. Its figures are meaningless."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One benchmark. `run` starts the servers on the stage, measures, and returns the figures."""

    name: str
    measures: str
    run: Callable[["Stage", Effort], Awaitable[list[Figure]]]
