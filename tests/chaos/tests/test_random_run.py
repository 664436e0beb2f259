"""After a short random run on a separate stack, all invariants hold, and manual changes of the data violate them."""

import asyncio
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import asyncpg
import pytest

from chaos.__main__ import SETTINGS
from chaos.checker import check
from chaos.matrix import RANDOM_FAULTS
from chaos.snapshot import Snapshot
from chaos.snapshot_reader import SnapshotReader
from chaos.trial import Effort, Result, Trial
from testkit.stack import running_stack
from testkit.waiting import eventually

pytestmark = pytest.mark.xdist_group("own-stack")

SHORT = Effort(customers=2, operations=4, max_unawaited=20)
"""Few operations, because their jobs must complete on a busy machine too."""


@dataclass(frozen=True)
class Run:
    """The result of the run, and access to the stores of its stack."""

    seed: str
    result: Result
    snapshot_reader: SnapshotReader

    def violated(self) -> set[str]:
        """Return the names of the invariants that the current content of the stores violates."""
        snapshot = asyncio.run(eventually(self._read_without_pending_jobs))
        return {name for name, violations in check(self.result.history, snapshot).items() if violations}

    async def _read_without_pending_jobs(self) -> Snapshot:
        """Return a snapshot. Fail while a scheduled job is pending, because the job would violate an invariant."""
        snapshot = await self.snapshot_reader.read()
        assert all(job.state not in {"queued", "running"} for job in snapshot.jobs)
        return snapshot

    def tamper(self, database: str, statement: str) -> None:
        """Execute a statement in a database."""

        async def change() -> None:
            connection = await asyncpg.connect(self.snapshot_reader.database_url(database))
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        asyncio.run(change())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Run the random row once for all tests of this module."""
    seed = secrets.token_hex(4)
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("HOPLINE_GATEWAY_URL", raising=False)  # otherwise `running_stack` would not start a stack
        with running_stack(tmp_path_factory.mktemp("chaos") / "stack", settings=SETTINGS, tap=False) as stack:
            trial = Trial(stack=stack, environment=os.environ, effort=SHORT)
            yield Run(seed, asyncio.run(trial.run(RANDOM_FAULTS, seed=seed)), trial.snapshot_reader)


class TestRandomRun:
    def test_all_invariants_hold(self, run: Run) -> None:
        violations = {name: found for name, found in run.result.outcome.items() if found}
        assert not violations, f"to repeat the run: make chaos ROW=random SEED={run.seed}"
        assert len(run.result.history.operations) > SHORT.operations
        assert all(device.frames for device in run.result.history.devices)

    def test_changed_data_violates_its_invariants(self, run: Run) -> None:
        assert run.violated() == set()
        run.tamper("orders", "UPDATE product SET reserved = 1 WHERE sku = 'LAMP-DESK'")
        assert run.violated() == {"I8"}
        run.tamper("workers", "UPDATE email SET message_id = '<' || dedupe_key || '>'")
        assert run.violated() == {"I8", "I5"}
        run.tamper("notifications", "UPDATE notification SET event_id = gen_random_uuid() WHERE seq = 1")
        assert run.violated() == {"I8", "I5", "I4", "I6"}
        run.tamper(
            "orders", "UPDATE outbox SET pub_seq = pub_seq + 1000 WHERE pub_seq = (SELECT max(pub_seq) FROM outbox)"
        )
        assert run.violated() == {"I8", "I5", "I4", "I6", "I3"}
        run.tamper("workers", "UPDATE job SET state = 'dead' WHERE kind = 'send_welcome_email'")
        assert run.violated() == {"I8", "I5", "I4", "I6", "I3", "I7"}
        run.tamper("orders", "DELETE FROM idempotency_key")
        assert run.violated() == {"I8", "I5", "I4", "I6", "I3", "I7", "I1", "I2", "I9"}
