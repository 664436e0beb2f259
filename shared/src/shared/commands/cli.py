"""Helpers for command line programs over the database of a service, such as `python -m workers.cli jobs`.

They run with the environment of the service.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool

from shared.config import DatabaseSettings, ServiceSettings, load_settings
from shared.db.database import CONNECT_TIMEOUT_S
from shared.db.urls import async_url
from shared.errors.stores import DATABASE_ERRORS
from shared.validation.text import terminal_line, terminal_text

MAX_CELL_CHARACTERS = 100
"""Maximum length of a table cell."""


class OperationSettings(DatabaseSettings, ServiceSettings):
    """The settings that a command needs: `DATABASE_URL`."""


class CommandError(Exception):
    """A command cannot be executed. The message is one line that describes what to do instead."""


@asynccontextmanager
async def open_session() -> AsyncIterator[AsyncSession]:
    """Open a session and its transaction on a new connection. The transaction commits at the end of the block."""
    settings = load_settings(OperationSettings)
    connect = {"timeout": CONNECT_TIMEOUT_S, "server_settings": {"application_name": "operations"}}
    engine = create_async_engine(
        async_url(settings.database_url), poolclass=NullPool, hide_parameters=True, connect_args=connect
    )
    try:
        async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
            yield session
    finally:
        await engine.dispose()


def run_command(command: Coroutine[None, None, str]) -> int:
    """Print the output of `command`. Return the exit status: 1 after an error, which is printed on standard error."""
    try:
        output = asyncio.run(command)
    except CommandError as error:
        sys.stderr.write(f"{terminal_text(str(error))}\n")
        return 1
    except DATABASE_ERRORS as error:
        reason = str(error).partition("\n")[0] or type(error).__name__  # a TimeoutError has no message
        sys.stderr.write(f"the database failed: {terminal_line(reason)}\n")
        return 1
    sys.stdout.write(f"{terminal_text(output)}\n")
    return 0


def format_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Format a table as plain text. Columns of integers are aligned right, and long cells are truncated."""
    lines = [list(header), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    right = [bool(rows) and all(isinstance(row[column], int) for row in rows) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def _cell(value: object) -> str:
    text = " ".join(str("–" if value is None else value).split())
    return text if len(text) <= MAX_CELL_CHARACTERS else text[: MAX_CELL_CHARACTERS - 1] + "…"


def format_age(age: timedelta) -> str:
    """Format an age in its largest unit: `3s`, `12m`, `5h`, `4d`."""
    seconds = max(int(age.total_seconds()), 0)
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"
