"""A running observatory per test module, reached only through its ports."""

from collections.abc import Iterator

import pytest

from testkit.observatory import Observatory, observatory, running_observatory, telemetry

__all__ = ["observatory", "telemetry"]


@pytest.fixture
def small() -> Iterator[Observatory]:
    """One that keeps three of everything, and five spans."""
    limits = {f"OBSERVATORY_MAX_{name}": "3" for name in ("TRACES", "LOGS", "MAILS")}
    with running_observatory(OBSERVATORY_MAX_SPANS="5", **limits) as running:
        yield running
