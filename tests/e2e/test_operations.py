"""Commands of operators on a running stack: list jobs and dead letters, replay, show the status, and start."""

import asyncio
import re

import pytest

from testkit.stack import Stack
from testkit.waiting import eventually

pytestmark = pytest.mark.xdist_group("stack")


@pytest.fixture(autouse=True)
def own_stack_only(stack: Stack) -> None:
    if not stack.is_ours:
        pytest.skip("runs commands in the stack, so it needs a stack that the tests started")


class TestOperations:
    @pytest.mark.usefixtures("shopper")
    async def test_jobs_are_counted_by_state_and_type_after_a_registration(self, stack: Stack) -> None:
        async def is_listed() -> bool:
            jobs = await asyncio.to_thread(stack.operator.run, "jobs")
            assert jobs.returncode == 0, jobs.stderr
            assert re.search(r"^ *done +send_welcome_email +[1-9]", jobs.stdout, re.MULTILINE), jobs.stdout
            return True

        await eventually(is_listed, what="the job of the welcome email")

    def test_dead_jobs_and_dead_letters_are_listed(self, stack: Stack) -> None:
        dead = stack.operator.run("dead-letters")
        assert dead.returncode == 0, dead.stderr
        for title in ("dead jobs", "dead letters in notifications", "dead letters in workers"):
            assert title in dead.stdout

    def test_unknown_ids_are_rejected_with_one_line(self, stack: Stack) -> None:
        for name, expected in (
            ("notifications:999999", "there is no dead letter notifications:999999"),
            ("00000000-0000-4000-8000-000000000000", "there is no job 00000000-0000-4000-8000-000000000000"),
        ):
            replayed = stack.operator.run("replay", name)
            assert replayed.returncode == 1
            assert replayed.stderr.startswith(expected)
            assert len(replayed.stderr.splitlines()) == 1

    def test_status_shows_the_sum_of_connections(self, stack: Stack) -> None:
        found = stack.operator.status()["connections"]
        programs = {program["name"]: program for program in found["programs"]}
        assert programs.keys() == {"users", "orders", "notifications", "worker", "report-worker"}
        assert [name for name, program in programs.items() if program["direct"]] == ["users", "orders"]
        assert found["needed"] == found["reserve"] + sum(
            program["processes"] * (program["pool"] + program["overflow"] + program["direct"])
            for program in programs.values()
        )
        assert found["needed"] <= found["available"]
        shown = stack.operator.run("status").stdout
        assert f"report-worker 10 + reserve 20 = {found['needed']} of {found['available']}" in shown

    def test_start_is_rejected_when_the_processes_need_more_connections_than_postgres_has(self, stack: Stack) -> None:
        environment = {**stack.environment, "POSTGRES_MAX_CONNECTIONS": "60"}
        rejected = type(stack.operator)(environment=environment).run("up")
        assert rejected.returncode == 1
        assert "reserve 20 = 72 of 57" in rejected.stderr  # PostgreSQL reserves three of 60 for superusers
        for setting in ("WEB_CONCURRENCY", "DATABASE_POOL_SIZE", "DATABASE_RESERVE", "POSTGRES_MAX_CONNECTIONS"):
            assert setting in rejected.stderr
        assert all(process["state"] == "RUNNING" for process in stack.operator.status()["processes"])

    def test_status_shows_the_schedules(self, stack: Stack) -> None:
        shown = stack.operator.run("status").stdout
        for name in (
            "sales_summary",
            "clean_up_users",
            "clean_up_orders",
            "clean_up_notifications",
            "clean_up_workers",
        ):
            assert name in shown
