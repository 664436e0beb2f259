"""TCP connections that tests open as clients."""

import asyncio
from contextlib import suppress


async def close_connection(writer: asyncio.StreamWriter) -> None:
    """Close a connection, and wait until its socket is closed. An open one would be reported in a later test."""
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
