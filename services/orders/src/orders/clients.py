"""The object store, where the reports' files lie; the worker writes them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import obstore

from orders.errors import ReportNotReady
from shared.errors import Unavailable
from shared.objects import AWAY, ObjectStore, beside

CHUNK_BYTES = 256 * 1024
DELETED_AT_ONCE = 20
OPEN_TIMEOUT_S = 3.0
"""Below the gateway's timeout of a call, so that a client receives a 503 and not a timeout."""


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file as it is now; `chunks` can be read once."""

    size_bytes: int
    chunks: AsyncIterator[bytes]


class ReportFiles:
    """Reads and deletes the files of reports. Raises Unavailable where the store is away."""

    def __init__(self, *, store: ObjectStore) -> None:
        self._store = store

    async def open(self, key: str) -> StoredFile:
        """Begin to read a file, whose size is the store's own word; raises ReportNotReady where there is none."""
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                found = await obstore.get_async(self._store, key)
        except FileNotFoundError as error:
            raise ReportNotReady("The report's file is gone; ask for a new report") from error
        except AWAY as error:
            raise _away() from error
        return StoredFile(size_bytes=found.meta["size"], chunks=found.stream(min_chunk_size=CHUNK_BYTES).__aiter__())

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete these files, some at once, and what was begun of them; what is not there is deleted already."""
        try:
            for first in range(0, len(keys), DELETED_AT_ONCE):
                await asyncio.gather(*(self._delete(key) for key in keys[first : first + DELETED_AT_ONCE]))
        except AWAY as error:
            raise _away() from error

    async def _delete(self, key: str) -> None:
        for path in (key, beside(key)):
            with suppress(FileNotFoundError):
                await obstore.delete_async(self._store, path)


def _away() -> Unavailable:
    return Unavailable("The store of the reports' files is not reachable")
