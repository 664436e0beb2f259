"""What operators do beside a running system: they look at jobs and dead letters, and have one tried again."""

import pytest

from testkit.stack import Stack

pytestmark = pytest.mark.xdist_group("stack")


@pytest.fixture(autouse=True)
def own_stack_only(stack: Stack) -> None:
    if not stack.is_ours:
        pytest.skip("runs commands beside the processes: only on a stack of our own")


class TestOperations:
    def test_jobs_and_dead_letters_are_shown(self, stack: Stack) -> None:
        jobs, dead = stack.operator.run("jobs"), stack.operator.run("dead-letters")
        assert (jobs.returncode, dead.returncode) == (0, 0), jobs.stderr + dead.stderr
        assert jobs.stdout.strip()
        for place in ("jobs", "events in notifications", "events in workers"):
            assert f"dead {place}" in dead.stdout

    def test_unknown_ids_get_one_clear_line_each(self, stack: Stack) -> None:
        for name, said in (
            ("notifications:999999", "there is no dead event notifications:999999"),
            ("00000000-0000-4000-8000-000000000000", "there is no job 00000000-0000-4000-8000-000000000000"),
        ):
            replayed = stack.operator.run("replay", name)
            assert replayed.returncode == 1
            assert replayed.stderr.startswith(said)
            assert len(replayed.stderr.splitlines()) == 1

    def test_status_knows_the_schedules(self, stack: Stack) -> None:
        shown = stack.operator.run("status").stdout
        for name in (
            "sales_summary",
            "clean_up_users",
            "clean_up_orders",
            "clean_up_notifications",
            "clean_up_workers",
        ):
            assert name in shown
