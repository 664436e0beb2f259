"""A running observatory per test module, used only through its ports."""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest

from testkit.observatory import ExportedMetrics, Observatory, create_telemetry, observatory, running_observatory

__all__ = ["create_telemetry", "observatory"]

CreateMetrics: TypeAlias = Callable[..., ExportedMetrics]


@pytest.fixture
def limited_observatory() -> Iterator[Observatory]:
    """Run an observatory that stores at most three traces, log records, emails, series and points per series.

    It stores at most five spans.
    """
    names = ("TRACES", "LOGS", "MAILS", "SERIES", "POINTS")
    limits = {f"OBSERVATORY_MAX_{name}": "3" for name in names}
    with running_observatory(OBSERVATORY_MAX_SPANS="5", **limits) as running:
        yield running


@pytest.fixture
def create_metrics() -> Iterator[CreateMetrics]:
    """Return a function that creates the metrics of a process. All of them are closed at the end of the test."""
    created: list[ExportedMetrics] = []

    def create(running: Observatory, service: str, **options: Any) -> ExportedMetrics:
        created.append(ExportedMetrics(running, service, **options))
        return created[-1]

    yield create
    for process_metrics in created:
        process_metrics.close()
