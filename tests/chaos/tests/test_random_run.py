"""A short random run on a stack of its own: every invariant holds, and the stores are really looked at."""

import asyncio
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import asyncpg
import pytest

from chaos.__main__ import SETTINGS
from chaos.census import Census
from chaos.checker import check
from chaos.holdings import Holdings
from chaos.matrix import WEATHER
from chaos.trial import Effort, Result, Trial
from testkit.stack import running_stack
from testkit.waiting import eventually

pytestmark = pytest.mark.xdist_group("chaos")  # one stack for the module

SHORT = Effort(customers=2, operations=4, most=20)
"""Few, as their jobs have to come to an end, on a busy machine too."""


@dataclass(frozen=True)
class Run:
    """What became of it, and the stack it ran on."""

    seed: str
    result: Result
    census: Census

    def broken(self) -> set[str]:
        """What is broken now."""
        return {
            name for name, found in check(self.result.history, asyncio.run(eventually(self._rest))).items() if found
        }

    async def _rest(self) -> Holdings:
        """What is there once no job of a schedule is under way: one that just began would count as stuck."""
        holdings = await self.census.count()
        assert all(job.state not in {"queued", "running"} for job in holdings.jobs)
        return holdings

    def tamper(self, database: str, statement: str) -> None:
        """Change what the stack holds behind its back."""

        async def change() -> None:
            connection = await asyncpg.connect(self.census.database_url(database))
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        asyncio.run(change())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    seed = secrets.token_hex(4)
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("HOPLINE_GATEWAY_URL", raising=False)  # a stack that may be killed
        with running_stack(tmp_path_factory.mktemp("chaos") / "stack", settings=SETTINGS, tap=False) as stack:
            trial = Trial(stack=stack, environment=os.environ, effort=SHORT)
            yield Run(seed, asyncio.run(trial.run(WEATHER, seed=seed)), trial.census)


class TestRandomRun:
    def test_holds_every_invariant(self, run: Run) -> None:
        broken = {name: found for name, found in run.result.verdict.items() if found}
        assert not broken, f"make chaos ROW=random SEED={run.seed}"
        assert len(run.result.history.operations) > SHORT.operations
        assert all(device.frames for device in run.result.history.devices)

    def test_looks_at_what_the_stores_hold(self, run: Run) -> None:
        assert run.broken() == set()
        run.tamper("orders", "UPDATE product SET reserved = 1 WHERE sku = 'LAMP-DESK'")
        assert run.broken() == {"I8"}
        run.tamper("workers", "UPDATE email SET message_id = '<' || dedupe_key || '>'")
        assert run.broken() == {"I8", "I5"}
        run.tamper("notifications", "UPDATE notification SET event_id = gen_random_uuid() WHERE seq = 1")
        assert run.broken() == {"I8", "I5", "I4", "I6"}
        run.tamper(
            "orders", "UPDATE outbox SET pub_seq = pub_seq + 1000 WHERE pub_seq = (SELECT max(pub_seq) FROM outbox)"
        )
        assert run.broken() == {"I8", "I5", "I4", "I6", "I3"}
        run.tamper("workers", "UPDATE job SET state = 'dead' WHERE kind = 'send_welcome_email'")
        assert run.broken() == {"I8", "I5", "I4", "I6", "I3", "I7"}
        run.tamper("orders", "DELETE FROM idempotency_key")
        assert run.broken() == {"I8", "I5", "I4", "I6", "I3", "I7", "I1", "I2", "I9"}
