"""`python -m shared.commands.events dead-letters|replay`: list and replay the dead letters of a consuming service."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from shared.commands.cli import CommandError, format_age, format_table, open_session, run_command
from shared.messaging.dead_letters import is_replayed, list_dead_letters, request_replay

MAX_LISTED = 100


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m shared.commands.events", description="Events that could not be applied."
    )
    parser.add_argument(
        "--of", required=True, metavar="SERVICE", help="service of this database, the prefix of the ids"
    )
    commands = parser.add_subparsers(required=True, dest="command")
    commands.add_parser("dead-letters", help="list open dead letters, oldest first")
    commands.add_parser("replay", help="apply the event of a dead letter again").add_argument("dead_letter", type=int)
    options = parser.parse_args(arguments)
    return run_command(
        _list(options.of) if options.command == "dead-letters" else _replay(options.of, options.dead_letter)
    )


async def _list(service: str) -> str:
    async with open_session() as session:
        dead_letters = await list_dead_letters(session, limit=MAX_LISTED)
    if not dead_letters:
        return f"no dead letters in {service}"
    now = datetime.now(UTC)
    rows = [
        (
            f"{service}:{dead_letter.id}",
            dead_letter.event_type or "unreadable",
            dead_letter.attempts,
            format_age(now - dead_letter.failed_at),
            "requested" if dead_letter.replay_requested_at else None,
            dead_letter.error,
        )
        for dead_letter in dead_letters
    ]
    return f"dead letters in {service}\n" + format_table(("ID", "TYPE", "ATTEMPTS", "SINCE", "REPLAY", "ERROR"), rows)


async def _replay(service: str, dead_letter_id: int) -> str:
    name = f"{service}:{dead_letter_id}"
    async with open_session() as session:
        if await request_replay(session, ids=[dead_letter_id]):
            return f"{name} will be tried again within seconds; if it fails again, `make dead-letters` shows the error"
        if await is_replayed(session, dead_letter_id):
            return f"{name} was replayed already: nothing to do"
    raise CommandError(f"there is no dead letter {name}: `make dead-letters` lists the existing ones")


if __name__ == "__main__":
    sys.exit(main())
