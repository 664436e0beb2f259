"""A running observatory per test module, used only through its ports."""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest

from testkit.observatory import ExportedMetrics, Observatory, observatory, running_observatory, telemetry

__all__ = ["observatory", "telemetry"]

MakeMetrics: TypeAlias = Callable[..., ExportedMetrics]


@pytest.fixture
def limited_observatory() -> Iterator[Observatory]:
    """An observatory that stores three traces, records, emails, series and points of a series, and five spans."""
    names = ("TRACES", "LOGS", "MAILS", "SERIES", "POINTS")
    limits = {f"OBSERVATORY_MAX_{name}": "3" for name in names}
    with running_observatory(OBSERVATORY_MAX_SPANS="5", **limits) as running:
        yield running


@pytest.fixture
def metrics() -> Iterator[MakeMetrics]:
    """Make the metrics of a process; all of them are closed at the end of the test."""
    created: list[ExportedMetrics] = []

    def make(running: Observatory, service: str, **options: Any) -> ExportedMetrics:
        created.append(ExportedMetrics(running, service, **options))
        return created[-1]

    yield make
    for process in created:
        process.close()
