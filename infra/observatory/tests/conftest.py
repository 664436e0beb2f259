"""A running observatory per test module, reached only through its ports."""

from collections.abc import Iterator

import pytest

from testkit.observatory import MakeTelemetry, Observatory, Telemetry, running_observatory


@pytest.fixture(scope="module")
def observatory() -> Iterator[Observatory]:
    with running_observatory() as running:
        yield running


@pytest.fixture
def small() -> Iterator[Observatory]:
    """One that keeps three of everything, and five spans."""
    limits = {f"OBSERVATORY_MAX_{name}": "3" for name in ("TRACES", "LOGS", "MAILS")}
    with running_observatory(OBSERVATORY_MAX_SPANS="5", **limits) as running:
        yield running


@pytest.fixture
def telemetry() -> Iterator[MakeTelemetry]:
    """Make the telemetry of a service; all of it is closed at the end of the test."""
    made: list[Telemetry] = []

    def make(running: Observatory, service: str) -> Telemetry:
        made.append(Telemetry(running, service))
        return made[-1]

    yield make
    for one in made:
        one.close()
