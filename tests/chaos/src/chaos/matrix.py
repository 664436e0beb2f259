"""The rows of the matrix. Each row has a nemesis, names the tests of one service that cover its fault, or both."""

from collections.abc import Sequence
from dataclasses import dataclass

from chaos.guarantees import (
    ResponseGuarantee,
    never_500,
    no_attempt_fails,
    reads_succeed,
    reads_succeed_at_first_attempt,
    retry_after_is_set,
)
from chaos.nemesis import Nemesis
from chaos.nemesis.crashes import kill_consumers, kill_each, kill_job, kill_relay
from chaos.nemesis.databases import fill_disk, lock_product, make_read_only
from chaos.nemesis.floods import flood_listeners, flood_logins
from chaos.nemesis.network import break_upstream, cut_sockets
from chaos.nemesis.pauses import freeze_observatory, freeze_past_the_lease
from chaos.nemesis.random_faults import inject_at_random, leave_alone
from chaos.nemesis.restarts import roll
from chaos.nemesis.stores import flush_redis, kill_redis, reject_redis_writes, stop_postgres


@dataclass(frozen=True, kw_only=True)
class Row:
    """One fault. `guarantees` hold while the fault lasts. `covered_by` names the tests of one service that cover it."""

    name: str
    fault: str
    nemesis: Nemesis | None = None
    guarantees: Sequence[ResponseGuarantee] = (never_500,)
    covered_by: Sequence[str] = ()


MATRIX: Sequence[Row] = (
    Row(name="1", fault="kill -9 of each process in turn", nemesis=kill_each),
    Row(
        name="2",
        fault="kill -9 of the relay between the append and the next step",
        nemesis=kill_relay,
        covered_by=("shared/tests/messaging/test_crashes.py::TestRelay",),
    ),
    Row(
        name="3",
        fault="kill -9 of both consumers between commit and XACK",
        nemesis=kill_consumers,
        covered_by=("shared/tests/messaging/test_crashes.py::TestConsumer",),
    ),
    Row(
        name="4",
        fault="kill -9 of a worker after the effect, before its record",
        nemesis=kill_job,
        covered_by=("workers/tests/test_recovery.py::TestKilledWorker",),
    ),
    Row(
        name="5",
        fault="SIGSTOP of worker and relay past the lease, SIGCONT",
        nemesis=freeze_past_the_lease,
        covered_by=(
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
        covered_by=("services/orders/tests/test_idempotency.py::TestLostResponse",),
    ),
    Row(name="10", fault="sockets cut, two processes, three devices", nemesis=cut_sockets),
    Row(
        name="11",
        fault="a reader that does not read",
        covered_by=("services/notifications/tests/test_closing.py::TestSlowReader",),
    ),
    Row(
        name="12",
        fault="publishes dropped, silent resubscribe",
        covered_by=("services/notifications/tests/test_delivery.py::TestLostPublish",),
    ),
    Row(
        name="13",
        fault="SIGTERM to all, one after another",
        nemesis=roll,
        guarantees=(never_500, reads_succeed),
        covered_by=("services/notifications/tests/test_closing.py::TestDrain", "tools/checks/tests/test_stop.py"),
    ),
    Row(
        name="14",
        fault="an upstream slow, failing, disconnecting, 100 %",
        nemesis=break_upstream,
        covered_by=(
            "services/gateway/tests/resilience/test_failing_upstream.py::TestAllCallsFail",
            "services/gateway/tests/resilience/test_failing_upstream.py::TestAllCallsAreSlow",
            "services/gateway/tests/resilience/test_failing_upstream.py::TestRecovery",
        ),
    ),
    Row(
        name="15",
        fault="poison event, poison job",
        covered_by=(
            "shared/tests/messaging/test_consumer.py::TestFailures",
            "workers/tests/test_failures.py::TestPoisonJob",
        ),
    ),
    Row(name="16", fault="a job a day late", covered_by=("workers/tests/test_failures.py::TestLateJob",)),
    Row(
        name="17",
        fault="telemetry backends hanging",
        nemesis=freeze_observatory,
        guarantees=(never_500, no_attempt_fails),
        covered_by=(
            "services/gateway/tests/test_telemetry_backend.py::TestTelemetryBackend",
            "shared/tests/telemetry/test_export.py::TestUnavailableCollector",
        ),
    ),
    Row(
        name="18",
        fault="each database read-only, then writable",
        nemesis=make_read_only,
        guarantees=(never_500, retry_after_is_set),
    ),
    Row(
        name="19",
        fault="Redis rejects writes: no memory, then a replica",
        nemesis=reject_redis_writes,
        guarantees=(never_500, retry_after_is_set),
    ),
    Row(
        name="20",
        fault="floods of heads, uploads and pings",
        nemesis=flood_listeners,
        guarantees=(never_500, no_attempt_fails),
    ),
    Row(
        name="21",
        fault="a product row locked for 12 s",
        nemesis=lock_product,
        guarantees=(never_500, retry_after_is_set, reads_succeed_at_first_attempt),
    ),
    Row(
        name="22",
        fault="60 concurrent logins",
        nemesis=flood_logins,
        guarantees=(never_500, retry_after_is_set, reads_succeed_at_first_attempt),
    ),
    Row(
        name="23",
        fault="disk full in each database",
        nemesis=fill_disk,
        guarantees=(never_500, retry_after_is_set),
    ),
)

CALM = Row(name="calm", fault="none", nemesis=leave_alone)
"""The reference row: it measures the time in which the same load completes without a fault."""

RANDOM_FAULTS = Row(name="random", fault="kills, Redis and sockets at random", nemesis=inject_at_random)

ROWS = {row.name: row for row in (*MATRIX, CALM, RANDOM_FAULTS)}
