"""What operators see of the ledger, and what they can do."""

import asyncio
from uuid import uuid4

import pytest

from workers.operations import main

from .factories import order_email, welcome_email
from .standins import person
from .world import World


class Operator:
    """Runs `python -m workers.operations` in the worker's environment."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    async def run(self, *arguments: str) -> tuple[int, str]:
        """Exit code and output, spaces folded."""
        self._capsys.readouterr()
        code = await asyncio.to_thread(main, arguments)
        printed = self._capsys.readouterr()
        said = [line for line in (printed.out + printed.err).splitlines() if not line.startswith("{")]
        return code, " ".join(" ".join(said).split())


@pytest.fixture
def operator(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Operator:
    monkeypatch.setenv("DATABASE_URL", world.environment["DATABASE_URL"])
    return Operator(capsys)


async def a_dead_job(world: World) -> str:
    (queued,) = await world.add(welcome_email())
    await world.execute(
        "UPDATE job SET state = 'dead', attempt = 20, finished_at = now(), last_error = :error WHERE id = :id",
        error="users is away \x1b[2J\u202e",
        id=queued.job_id,
    )
    return str(queued.job_id)


class TestJobs:
    async def test_are_counted_and_the_open_ones_listed(self, world: World, operator: Operator) -> None:
        await a_dead_job(world)
        late, _ = await world.add(order_email(), order_email(delay_s=90))
        await world.execute("UPDATE job SET created_at = now() - interval '3 hours 1 minute'")
        await world.execute("UPDATE job SET run_after = now() - interval '2 hours' WHERE id = :id", id=late.job_id)
        code, said = await operator.run("jobs")
        assert code == 0
        assert "dead send_welcome_email 1 3h 20 queued send_order_email 2 3h 0" in said
        assert f"{late.job_id} send_order_email queued 0 3h 2h late" in said
        assert "in 1m" in said

    async def test_without_any_say_so(self, operator: Operator) -> None:
        assert await operator.run("jobs") == (0, "no jobs yet: place an order, or run `make demo`")


class TestDeadLetters:
    async def test_are_listed_with_their_errors(self, world: World, operator: Operator) -> None:
        dead = await a_dead_job(world)
        await world.add(order_email())
        await world.execute("UPDATE job SET created_at = now() - interval '3 hours 1 minute'")
        code, said = await operator.run("dead-letters")
        assert code == 0
        assert (
            said
            == f"dead jobs ID KIND ATTEMPTS AGE ERROR {dead} send_welcome_email 20 3h users is away \\u001b[2J\\u202e"
        )

    async def test_without_any_say_so(self, operator: Operator) -> None:
        assert await operator.run("dead-letters") == (0, "no dead jobs")


class TestReplay:
    async def test_dead_job_is_done_once_however_often_it_is_asked_for(self, world: World, operator: Operator) -> None:
        job = welcome_email()
        (queued,) = await world.add(job)
        async with world.worker():
            await world.until(lambda jobs: jobs[0].state == "dead")
            person(world.users, job.payload.user_id)
            first, again = [await operator.run("replay", str(queued.job_id)) for _ in range(2)]
            await world.until_done(1)
        after = await operator.run("replay", str(queued.job_id))
        assert [code for code, _ in (first, again, after)] == [0, 0, 0]
        assert "is queued again" in first[1]
        assert "nothing to do" in again[1] or "nothing to replay" in again[1]
        assert "is done: nothing to replay" in after[1]
        assert len(world.mailbox.messages) == 1

    async def test_unknown_job_gets_one_clear_line(self, operator: Operator) -> None:
        unknown = str(uuid4())
        assert await operator.run("replay", unknown) == (
            1,
            f"there is no job {unknown}: `make dead-letters` lists those that can be replayed",
        )

    async def test_database_that_is_away_gets_one_clear_line(
        self, operator: Operator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
        code, said = await operator.run("jobs")
        assert code == 1
        assert said.startswith("the database does not answer")
