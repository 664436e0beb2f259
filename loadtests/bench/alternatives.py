"""Measures, in turn, several servers that do the same work."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.figures import Effort, Figure
from bench.load import Load, Outcome, drive
from bench.processes import Running


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """One of the compared servers, with its measurements by round. `cpu_ms` is the CPU time per request."""

    name: str
    server: Running
    outcomes: list[Outcome] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    async def measure(self, load: Load, effort: Effort) -> None:
        """Send the load to the server for one round, and record the measurement."""
        before = self.server.cpu_seconds()
        outcome = await drive(load, port=self.server.port, effort=effort)
        spent = self.server.cpu_seconds() - before
        self.outcomes.append(outcome)
        self.cpu_ms.append(1000 * spent / outcome.requests_with_warmup)

    @property
    def requests(self) -> int:
        """The number of requests in all rounds, including the warm-up."""
        return sum(outcome.requests_with_warmup for outcome in self.outcomes)

    def figures(self) -> list[Figure]:
        """Return the absolute figures. They have no targets, because they depend on the machine."""
        outcomes = self.outcomes
        per_second = median(outcome.per_second for outcome in outcomes)
        busy = 100 * max(outcome.cpu_share for outcome in outcomes)
        return [
            Figure(name=f"{self.name}: throughput", value=per_second, unit="requests/s"),
            Figure(name=f"{self.name}: p50", value=median(outcome.p50_ms for outcome in outcomes), unit="ms"),
            Figure(name=f"{self.name}: p99", value=median(outcome.p99_ms for outcome in outcomes), unit="ms"),
            Figure(name=f"{self.name}: CPU time", value=median(self.cpu_ms), unit="ms/request"),
            Figure(name=f"{self.name}: load generator, at most", value=busy, unit="% of its core"),
        ]


async def measure_in_turn(alternatives: Sequence[Alternative], load: Load, effort: Effort) -> None:
    """Measure in the order ABCABC…, so that other load on the machine affects all of them."""
    for _ in range(effort.rounds):
        for alternative in alternatives:
            await alternative.measure(load, effort)


def ratios(measured: Alternative, reference: Alternative, of: Callable[[Outcome], float]) -> list[float]:
    """Return, for each round, the value `of` the measured alternative divided by that of the reference."""
    return [of(one) / of(other) for one, other in zip(measured.outcomes, reference.outcomes, strict=True)]
