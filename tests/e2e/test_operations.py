"""Commands of operators on a running stack: `jobs`, `dead-letters`, `replay`, `status` and `up`."""

import asyncio
import re

import httpx
import pytest

from embedded.environment import DATABASES
from testkit.shopper import register
from testkit.stack import Stack
from testkit.waiting import eventually

pytestmark = pytest.mark.xdist_group("stack")

MAX_MEMORY_BYTES = 900 * 1024 * 1024


@pytest.fixture(autouse=True)
def own_stack_only(stack: Stack) -> None:
    if not stack.is_ours:
        pytest.skip("runs commands in the stack, so it needs a stack that the tests started")


class TestOperations:
    async def test_jobs_are_counted_by_state_and_type_after_a_registration(
        self, stack: Stack, gateway: httpx.AsyncClient
    ) -> None:
        async def count_welcome_emails(state: str) -> int:
            jobs = await asyncio.to_thread(stack.operator.run, "jobs")
            assert jobs.returncode == 0, jobs.stderr
            counts = re.findall(rf"^ *{state} +send_welcome_email +(\d+)", jobs.stdout, re.MULTILINE)
            return sum(map(int, counts))

        before = await count_welcome_emails(r"\w+")
        await register(gateway)

        async def another_job_is_done() -> bool:
            return await count_welcome_emails("done") > before

        await eventually(another_job_is_done, what="the finished job of the welcome email")

    def test_dead_jobs_and_dead_letters_are_listed(self, stack: Stack) -> None:
        listed = stack.operator.run("dead-letters")
        assert listed.returncode == 0, listed.stderr
        for title in ("dead jobs", "dead letters in notifications", "dead letters in workers"):
            assert title in listed.stdout

    @pytest.mark.parametrize(
        ("unknown_id", "error"),
        [
            ("notifications:999999", "there is no dead letter notifications:999999"),
            ("00000000-0000-4000-8000-000000000000", "there is no job 00000000-0000-4000-8000-000000000000"),
        ],
    )
    def test_replay_fails_with_one_line_when_the_id_is_unknown(self, stack: Stack, unknown_id: str, error: str) -> None:
        replayed = stack.operator.run("replay", unknown_id)
        assert replayed.returncode == 1
        assert replayed.stderr.startswith(error)
        assert len(replayed.stderr.splitlines()) == 1

    def test_status_shows_databases_consumer_groups_and_memory(self, stack: Stack) -> None:
        status = stack.operator.status()
        assert {database["name"] for database in status["databases"]} == set(DATABASES)
        assert {group["group"] for group in status["groups"]} == {"notifications", "workers"}
        if stack.has_observatory:
            assert status["memory_bytes"] < MAX_MEMORY_BYTES

    def test_status_shows_the_sum_of_connections(self, stack: Stack) -> None:
        budget = stack.operator.status()["connections"]
        programs = {program["name"]: program for program in budget["programs"]}
        assert programs.keys() == {"users", "orders", "notifications", "worker", "report-worker"}
        assert [name for name, program in programs.items() if program["direct"]] == ["users", "orders"]
        assert budget["needed"] == budget["reserve"] + sum(
            program["processes"] * (program["pool"] + program["overflow"] + program["direct"])
            for program in programs.values()
        )
        assert budget["needed"] <= budget["available"]
        printed = stack.operator.run("status").stdout
        assert f"report-worker 10 + reserve 20 = {budget['needed']} of {budget['available']}" in printed

    def test_start_is_rejected_when_the_processes_need_more_connections_than_postgres_has(self, stack: Stack) -> None:
        environment = {**stack.environment, "POSTGRES_MAX_CONNECTIONS": "60"}
        rejected = type(stack.operator)(environment=environment).run("up")
        assert rejected.returncode == 1
        assert "reserve 20 = 72 of 57" in rejected.stderr  # PostgreSQL reserves three of the 60 for superusers
        for setting in ("WEB_CONCURRENCY", "DATABASE_POOL_SIZE", "DATABASE_RESERVE", "POSTGRES_MAX_CONNECTIONS"):
            assert setting in rejected.stderr
        assert all(process["state"] == "RUNNING" for process in stack.operator.status()["processes"])

    def test_status_shows_the_schedules(self, stack: Stack) -> None:
        printed = stack.operator.run("status").stdout
        for schedule in (
            "sales_summary",
            "clean_up_users",
            "clean_up_orders",
            "clean_up_notifications",
            "clean_up_workers",
        ):
            assert schedule in printed
