"""What people run beside a service, over its own database: `python -m workers.operations jobs`.

It runs where the service runs, with the service's environment, in whatever way that is deployed.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool

from shared.database import CONNECT_TIMEOUT_S, async_url
from shared.settings import DatabaseSettings, ServiceSettings, load_settings
from shared.store_errors import DATABASE_ERRORS
from shared.text import terminal_line, terminal_text

CELL = 100
"""Characters of one cell that are shown: an error has to leave room for its line."""


class OperationSettings(DatabaseSettings, ServiceSettings):
    """Of the service's settings the one that is needed: `DATABASE_URL`."""


class Refused(Exception):
    """What was asked for cannot be done; the message is one line that says what to do instead."""


@asynccontextmanager
async def own_session() -> AsyncIterator[AsyncSession]:
    """One transaction on a connection of its own, beside the service's pool."""
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


def run(command: Coroutine[None, None, str]) -> int:
    """Print what `command` returns; the exit code: 1 with one line on standard error where it cannot be done."""
    try:
        said = asyncio.run(command)
    except Refused as refused:
        sys.stderr.write(f"{terminal_text(str(refused))}\n")
        return 1
    except DATABASE_ERRORS as error:
        sys.stderr.write(f"the database does not answer as it should: {terminal_line(str(error).splitlines()[0])}\n")
        return 1
    sys.stdout.write(f"{terminal_text(said)}\n")
    return 0


def aligned(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in plain text; numbers stand to the right, what is too long for a line is cut."""
    lines = [list(header), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    right = [bool(rows) and all(isinstance(row[column], int) for row in rows) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if to_the_right else cell.ljust(width)
            for cell, width, to_the_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def _cell(value: object) -> str:
    text = " ".join(str("–" if value is None else value).split())
    return text if len(text) <= CELL else text[: CELL - 1] + "…"


def ago(age: timedelta) -> str:
    """An age in its largest unit: `3s`, `12m`, `5h`, `4d`."""
    seconds = max(int(age.total_seconds()), 0)
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"
