"""The commands of `workers.cli` for operators."""

import asyncio
from uuid import uuid4

import pytest

from workers.cli import main

from .factories import order_email, welcome_email
from .fakes import add_user
from .harness import Harness


class Operator:
    """Runs the commands of `workers.cli` with the database of the harness."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    async def run(self, *arguments: str) -> tuple[int, str]:
        """Run a command. Return its exit code, and its output without log records and with single spaces."""
        self._capsys.readouterr()
        code = await asyncio.to_thread(main, arguments)
        printed = self._capsys.readouterr()
        lines = [line for line in (printed.out + printed.err).splitlines() if not line.startswith("{")]
        return code, " ".join(" ".join(lines).split())


@pytest.fixture
def operator(harness: Harness, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Operator:
    monkeypatch.setenv("DATABASE_URL", harness.environment["DATABASE_URL"])
    return Operator(capsys)


async def add_dead_job(harness: Harness) -> str:
    """Add a job that died in its 20th attempt, and return its id. Its error has control characters."""
    (queued,) = await harness.add_jobs(welcome_email())
    await harness.execute(
        "UPDATE job SET state = 'dead', attempt = 20, finished_at = now(), last_error = :error WHERE id = :id",
        error="users is unavailable \x1b[2J\u202e",
        id=queued.job_id,
    )
    return str(queued.job_id)


class TestJobs:
    async def test_jobs_are_counted_and_pending_jobs_are_listed_by_due_time(
        self, harness: Harness, operator: Operator
    ) -> None:
        await add_dead_job(harness)
        due_later, overdue = await harness.add_jobs(order_email(delay_s=90), order_email())
        await harness.execute("UPDATE job SET created_at = now() - interval '3 hours 1 minute'")
        await harness.execute("UPDATE job SET created_at = now() WHERE id = :id", id=overdue.job_id)
        await harness.execute("UPDATE job SET run_after = now() - interval '2 hours' WHERE id = :id", id=overdue.job_id)
        code, output = await operator.run("jobs")
        assert code == 0
        assert "dead send_welcome_email 1 3h 20 queued send_order_email 2 3h 0" in output
        heading = output.index("pending jobs, the 2 that are due first")
        assert heading < output.index(str(overdue.job_id)) < output.index(str(due_later.job_id))
        assert f"{overdue.job_id} send_order_email queued 0 0s 2h late" in output
        assert f"{due_later.job_id} send_order_email queued 0 3h in 1m" in output

    async def test_job_is_not_listed_as_late_when_it_is_running(self, harness: Harness, operator: Operator) -> None:
        (running,) = await harness.add_jobs(order_email())
        await harness.execute(
            "UPDATE job SET state = 'running', attempt = 1, lease_token = gen_random_uuid(), lease_until = now(),"
            " run_after = now() - interval '5 minutes'"
        )
        _, output = await operator.run("jobs")
        assert output.endswith(f"{running.job_id} send_order_email running 1 0s – –")

    async def test_output_explains_what_to_do_when_there_are_no_jobs(self, operator: Operator) -> None:
        assert await operator.run("jobs") == (0, "no jobs yet: place an order, or run `make demo`")


class TestDeadLetters:
    async def test_dead_jobs_are_listed_with_their_errors(self, harness: Harness, operator: Operator) -> None:
        dead = await add_dead_job(harness)
        await harness.add_jobs(order_email())
        await harness.execute("UPDATE job SET created_at = now() - interval '3 hours 1 minute'")
        code, output = await operator.run("dead-letters")
        assert code == 0
        error = "users is unavailable \\u001b[2J\\u202e"
        assert output == f"dead jobs ID TYPE ATTEMPTS AGE ERROR {dead} send_welcome_email 20 3h {error}"

    async def test_output_says_so_when_there_are_no_dead_jobs(self, operator: Operator) -> None:
        assert await operator.run("dead-letters") == (0, "no dead jobs")


class TestReplay:
    async def test_dead_job_is_done_once_when_replay_is_repeated(self, harness: Harness, operator: Operator) -> None:
        job = welcome_email()
        (queued,) = await harness.add_jobs(job)
        async with harness.run_worker():
            await harness.wait_until(lambda jobs: jobs[0].state == "dead")
            add_user(harness.users, job.payload.user_id)
            first, again = [await operator.run("replay", str(queued.job_id)) for _ in range(2)]
            await harness.wait_until_done(1)
        after = await operator.run("replay", str(queued.job_id))
        assert [code for code, _ in (first, again, after)] == [0, 0, 0]
        assert "is queued again" in first[1]
        assert "nothing to do" in again[1] or "nothing to replay" in again[1]  # the job may already be done
        assert "is done: nothing to replay" in after[1]
        assert len(harness.mailbox.messages) == 1

    async def test_replay_fails_with_one_line_when_the_job_is_unknown(self, operator: Operator) -> None:
        unknown = str(uuid4())
        assert await operator.run("replay", unknown) == (
            1,
            f"there is no job {unknown}: `make dead-letters` lists the jobs that can be replayed",
        )

    async def test_command_fails_with_one_line_when_the_database_is_unavailable(
        self, operator: Operator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
        code, output = await operator.run("jobs")
        assert code == 1
        assert output.startswith("the database failed")
