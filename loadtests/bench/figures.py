"""What a benchmark is, and what it finds."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from bench.stage import Stage


@dataclass(frozen=True, kw_only=True)
class Target:
    """What the design promises of a figure: `bound` in the figure's unit, reached or passed in the good direction."""

    better: Literal["higher", "lower"]
    bound: float

    def reached_by(self, value: float) -> bool:
        """Whether `value` keeps the promise."""
        return value >= self.bound if self.better == "higher" else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.better == 'higher' else '≤'} {self.bound:,g}"


def at_least(bound: float) -> Target:
    """A target for a figure that should be high."""
    return Target(better="higher", bound=bound)


def at_most(bound: float) -> Target:
    """A target for a figure that should be low."""
    return Target(better="lower", bound=bound)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured value. A figure without a target explains one that has it."""

    name: str
    value: float
    unit: str
    target: Target | None = None


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How long to measure.

    Every alternative is measured `rounds` times for `seconds` seconds, one after another and over again (ABAB), so that
    what else the machine does meets all of them. `scale` multiplies amounts of data.
    """

    rounds: int = 5
    seconds: float = 2.0
    warmup_seconds: float = 1.0
    scale: float = 1.0

    def amount(self, full: int) -> int:
        """`full` at scale 1, never less than 1."""
        return max(1, round(full * self.scale))


GLANCE = Effort(rounds=1, seconds=0.3, warmup_seconds=0.1, scale=0.01)
"""Enough to see that a benchmark works; its figures mean nothing."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One question about speed. `run` starts what it needs on the stage, asks, and returns what it found."""

    name: str
    measures: str
    run: Callable[["Stage", Effort], Awaitable[list[Figure]]]
