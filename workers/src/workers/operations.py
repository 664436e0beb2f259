"""`python -m workers.operations jobs|dead-letters|replay`: the ledger, for people; in the worker's environment."""

import argparse
import sys
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from uuid import UUID

from shared.operations import Refused, ago, aligned, own_session, run
from workers.ledger import JobLedger
from workers.models import JobState
from workers.overview import Overview

SHOWN = 20
DEAD_SHOWN = 100


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m workers.operations", description="Jobs: how they are doing.")
    commands = parser.add_subparsers(required=True, dest="command")
    commands.add_parser("jobs", help="how many by state and kind, and the oldest of those not done")
    commands.add_parser("dead-letters", help="jobs that were given up, the latest first")
    commands.add_parser("replay", help="have a dead job tried again").add_argument("job", type=UUID)
    options = parser.parse_args(arguments)
    shown: dict[str, Callable[[], Coroutine[None, None, str]]] = {"jobs": _jobs, "dead-letters": _dead}
    return run(shown[options.command]() if options.command in shown else _replay(options.job))


async def _jobs() -> str:
    async with own_session() as session:
        overview = Overview(session)
        counts, waiting = await overview.by_state_and_kind(), await overview.unfinished(limit=SHOWN)
    if not counts:
        return "no jobs yet: place an order, or run `make demo`"
    summary = aligned(
        ("STATE", "KIND", "JOBS", "OLDEST", "MOST ATTEMPTS"),
        [(count.state, count.kind, count.jobs, ago(count.oldest), count.most_attempts) for count in counts],
    )
    if not waiting:
        return f"{summary}\n\nevery job is done or dead"
    rows = [
        (job.id, job.kind, job.state, job.attempt, ago(job.age), _due(job.due_in), job.last_error) for job in waiting
    ]
    header = ("ID", "KIND", "STATE", "ATTEMPTS", "AGE", "DUE", "LAST ERROR")
    return f"{summary}\n\nnot done, the oldest {len(rows)}\n{aligned(header, rows)}"


def _due(due_in: timedelta) -> str:
    return f"in {ago(due_in)}" if due_in > timedelta(0) else f"{ago(-due_in)} late"


async def _dead() -> str:
    async with own_session() as session:
        dead = await Overview(session).dead(limit=DEAD_SHOWN)
    if not dead:
        return "no dead jobs"
    rows = [(job.id, job.kind, job.attempt, ago(job.age), job.last_error) for job in dead]
    return "dead jobs\n" + aligned(("ID", "KIND", "ATTEMPTS", "AGE", "ERROR"), rows)


async def _replay(job_id: UUID) -> str:
    async with own_session() as session:
        ledger = JobLedger(session)
        if await ledger.replay(job_id):
            return f"job {job_id} is queued again; `make jobs` shows how it does"
        match await ledger.state_of(job_id):
            case None:
                raise Refused(f"there is no job {job_id}: `make dead-letters` lists those that can be replayed")
            case JobState.DONE:
                return f"job {job_id} is done: nothing to replay"
            case state:
                return f"job {job_id} is {state} already: nothing to do"


if __name__ == "__main__":
    sys.exit(main())
