"""TCP connections that tests open as clients."""

import asyncio
from contextlib import suppress


async def close_connection(writer: asyncio.StreamWriter) -> None:
    """Close a connection, and wait until its socket is closed.

    Otherwise Python would emit a ResourceWarning later, which would fail another test.
    """
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
