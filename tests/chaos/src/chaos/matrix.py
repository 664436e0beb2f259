"""The rows of the matrix. Each has a nemesis, or names the tests of one service that cover it."""

from collections.abc import Sequence
from dataclasses import dataclass

from chaos.nemesis import Nemesis
from chaos.nemesis.crashes import kill_consumers, kill_each, kill_job, kill_relay
from chaos.nemesis.databases import fill_disk, lock_product, make_read_only
from chaos.nemesis.floods import flood_listeners, flood_logins
from chaos.nemesis.network import break_upstream, cut_sockets
from chaos.nemesis.pauses import freeze_observatory, freeze_past_the_lease
from chaos.nemesis.random_source import inject_at_random, leave_alone
from chaos.nemesis.restarts import roll
from chaos.nemesis.stores import flush_redis, kill_redis, reject_redis_writes, stop_postgres
from chaos.promises import (
    Promise,
    never_500,
    reads_are_unaffected,
    safe_requests_succeed,
    unavailable_says_when,
    unnoticed_error,
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One fault. `promises` hold while it lasts; `held_by` names tests that cover it."""

    name: str
    fault: str
    nemesis: Nemesis | None = None
    promises: Sequence[Promise] = (never_500,)
    held_by: Sequence[str] = ()


MATRIX: Sequence[Row] = (
    Row(name="1", fault="kill -9 of each process in turn", nemesis=kill_each),
    Row(
        name="2",
        fault="kill -9 of the relay between append and bookkeeping",
        nemesis=kill_relay,
        held_by=("shared/tests/messaging/test_crashes.py::TestRelay",),
    ),
    Row(
        name="3",
        fault="kill -9 of both consumers between commit and XACK",
        nemesis=kill_consumers,
        held_by=("shared/tests/messaging/test_crashes.py::TestConsumer",),
    ),
    Row(
        name="4",
        fault="kill -9 of a worker after the effect, before its record",
        nemesis=kill_job,
        held_by=("workers/tests/test_recovery.py::TestKilledWorker",),
    ),
    Row(
        name="5",
        fault="SIGSTOP of worker and relay past the lease, SIGCONT",
        nemesis=freeze_past_the_lease,
        held_by=(
            "workers/tests/test_recovery.py::TestFrozenWorker",
            "shared/tests/messaging/test_crashes.py::TestRelay",
        ),
    ),
    Row(name="6", fault="kill -9 of Redis", nemesis=kill_redis),
    Row(name="7", fault="FLUSHALL, twice", nemesis=flush_redis),
    Row(name="8", fault="immediate stop and start of Postgres", nemesis=stop_postgres),
    Row(
        name="9",
        fault="the response lost after the commit",
        held_by=("services/orders/tests/test_idempotency.py::TestLostResponse",),
    ),
    Row(name="10", fault="sockets cut, two processes, three devices", nemesis=cut_sockets),
    Row(
        name="11",
        fault="a reader that does not read",
        held_by=("services/notifications/tests/test_closing.py::TestSlowReader",),
    ),
    Row(
        name="12",
        fault="publishes dropped, silent resubscribe",
        held_by=("services/notifications/tests/test_delivery.py::TestLostPublish",),
    ),
    Row(
        name="13",
        fault="SIGTERM to all, one after another",
        nemesis=roll,
        promises=(never_500, safe_requests_succeed),
        held_by=("services/notifications/tests/test_closing.py::TestDrain", "tools/checks/tests/test_stop.py"),
    ),
    Row(
        name="14",
        fault="an upstream slow, failing, disconnecting, 100 %",
        nemesis=break_upstream,
        held_by=(
            "services/gateway/tests/resilience/test_failing_upstream.py::TestAllCallsFail",
            "services/gateway/tests/resilience/test_failing_upstream.py::TestAllCallsAreSlow",
            "services/gateway/tests/resilience/test_failing_upstream.py::TestRecovery",
        ),
    ),
    Row(
        name="15",
        fault="poison event, poison job",
        held_by=(
            "shared/tests/messaging/test_consumer.py::TestFailures",
            "workers/tests/test_failures.py::TestPoisonJob",
        ),
    ),
    Row(name="16", fault="a job a day late", held_by=("workers/tests/test_failures.py::TestLateJob",)),
    Row(
        name="17",
        fault="telemetry backends hanging",
        nemesis=freeze_observatory,
        promises=(never_500, unnoticed_error),
        held_by=(
            "services/gateway/tests/test_telemetry_backend.py::TestTelemetryBackend",
            "shared/tests/telemetry/test_export.py::TestUnreachableBackend",
        ),
    ),
    Row(
        name="18",
        fault="each database read-only, then writable",
        nemesis=make_read_only,
        promises=(never_500, unavailable_says_when),
    ),
    Row(
        name="19",
        fault="Redis rejects writes: no memory, then a replica",
        nemesis=reject_redis_writes,
        promises=(never_500, unavailable_says_when),
    ),
    Row(
        name="20",
        fault="floods of heads, uploads and pings",
        nemesis=flood_listeners,
        promises=(never_500, unnoticed_error),
    ),
    Row(
        name="21",
        fault="a product row locked for 12 s",
        nemesis=lock_product,
        promises=(never_500, unavailable_says_when, reads_are_unaffected),
    ),
    Row(
        name="22",
        fault="60 logins at once",
        nemesis=flood_logins,
        promises=(never_500, unavailable_says_when, reads_are_unaffected),
    ),
    Row(
        name="23",
        fault="disk full in each database",
        nemesis=fill_disk,
        promises=(never_500, unavailable_says_when),
    ),
)

CALM = Row(name="calm", fault="none", nemesis=leave_alone)
"""The reference row: how long the same load takes to complete without a fault."""

RANDOM_SOURCE = Row(name="random", fault="kills, Redis and sockets at random", nemesis=inject_at_random)

ROWS = {row.name: row for row in (*MATRIX, CALM, RANDOM_SOURCE)}
