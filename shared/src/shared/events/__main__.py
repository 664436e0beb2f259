"""`python -m shared.events dead-letters|replay`: a consuming service's dead letters, in its own environment."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from shared.events.deadletters import dead_letters, is_replayed, request_replay
from shared.operations import Refused, ago, aligned, own_session, run

SHOWN = 100


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m shared.events", description="Events that could not be applied.")
    parser.add_argument("--of", required=True, metavar="SERVICE", help="whose database this is; it leads the ids")
    commands = parser.add_subparsers(required=True, dest="command")
    commands.add_parser("dead-letters", help="list those not replayed yet, the oldest first")
    commands.add_parser("replay", help="have one tried again").add_argument("letter", type=int)
    options = parser.parse_args(arguments)
    return run(_list(options.of) if options.command == "dead-letters" else _replay(options.of, options.letter))


async def _list(service: str) -> str:
    async with own_session() as session:
        letters = await dead_letters(session, limit=SHOWN)
    if not letters:
        return f"no dead events in {service}"
    now = datetime.now(UTC)
    rows = [
        (
            f"{service}:{letter.id}",
            letter.event_type or "unreadable",
            letter.attempts,
            ago(now - letter.failed_at),
            "asked for" if letter.replay_requested_at else None,
            letter.error,
        )
        for letter in letters
    ]
    return f"dead events in {service}\n" + aligned(("ID", "TYPE", "ATTEMPTS", "SINCE", "REPLAY", "ERROR"), rows)


async def _replay(service: str, letter: int) -> str:
    name = f"{service}:{letter}"
    async with own_session() as session:
        if await request_replay(session, ids=[letter]):
            return f"{name} will be tried again within seconds; if it fails again, `make dead-letters` shows the error"
        if await is_replayed(session, letter):
            return f"{name} was replayed already: nothing to do"
    raise Refused(f"there is no dead event {name}: `make dead-letters` lists those that there are")


if __name__ == "__main__":
    sys.exit(main())
