"""Commands for operators: `python -m workers.cli jobs|dead-letters|replay`, in the environment of a worker."""

import argparse
import sys
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from uuid import UUID

from shared.commands.cli import CommandError, format_age, format_table, open_session, run_command
from workers.jobs.queries import JobQueries, JobSummary
from workers.jobs.repository import JobRepository
from workers.models import JobState

MAX_PENDING = 20
MAX_DEAD = 100
"""Maximum numbers of listed jobs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m workers.cli", description="List and replay jobs.")
    commands = parser.add_subparsers(required=True, dest="command")
    commands.add_parser("jobs", help="number of jobs by state and type, and the pending ones by due time")
    commands.add_parser("dead-letters", help="dead jobs, the latest first")
    commands.add_parser("replay", help="retry a dead job").add_argument("job", type=UUID)
    options = parser.parse_args(arguments)
    listings: dict[str, Callable[[], Coroutine[None, None, str]]] = {"jobs": _list_jobs, "dead-letters": _list_dead}
    return run_command(listings[options.command]() if options.command in listings else _replay(options.job))


async def _list_jobs() -> str:
    async with open_session() as session:
        queries = JobQueries(session=session)
        counts, pending = await queries.count_by_state_and_type(), await queries.list_pending(limit=MAX_PENDING)
    if not counts:
        return "no jobs yet: place an order, or run `make demo`"
    summary = format_table(
        ("STATE", "TYPE", "JOBS", "OLDEST", "MOST ATTEMPTS"),
        [(count.state, count.type_name, count.jobs, format_age(count.oldest), count.most_attempts) for count in counts],
    )
    if not pending:
        return f"{summary}\n\nevery job is done or dead"
    rows = [
        (job.id, job.type_name, job.state, job.attempt, format_age(job.age), _due(job), job.last_error)
        for job in pending
    ]
    header = ("ID", "TYPE", "STATE", "ATTEMPTS", "AGE", "DUE", "LAST ERROR")
    return f"{summary}\n\npending jobs, the {len(rows)} that are due first\n{format_table(header, rows)}"


def _due(job: JobSummary) -> str | None:
    """Return when a job is due, or None if it is running."""
    if job.state == JobState.RUNNING:
        return None
    return f"in {format_age(job.due_in)}" if job.due_in > timedelta(0) else f"{format_age(-job.due_in)} late"


async def _list_dead() -> str:
    async with open_session() as session:
        dead = await JobQueries(session=session).list_dead(limit=MAX_DEAD)
    if not dead:
        return "no dead jobs"
    rows = [(job.id, job.type_name, job.attempt, format_age(job.age), job.last_error) for job in dead]
    return "dead jobs\n" + format_table(("ID", "TYPE", "ATTEMPTS", "AGE", "ERROR"), rows)


async def _replay(job_id: UUID) -> str:
    async with open_session() as session:
        jobs = JobRepository(session=session)
        if await jobs.replay(job_id):
            return f"job {job_id} is queued again: `make jobs` shows its progress"
        match await jobs.get_state(job_id):
            case None:
                raise CommandError(f"there is no job {job_id}: `make dead-letters` lists the jobs that can be replayed")
            case JobState.DONE:
                return f"job {job_id} is done: nothing to replay"
            case state:
                return f"job {job_id} is {state} already: nothing to do"


if __name__ == "__main__":
    sys.exit(main())
