"""The object store that holds the files of reports. The workers write them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import obstore

from orders.errors import ReportNotReadyError
from shared.db.object_store import OBJECT_STORE_ERRORS, ObjectStore, temporary_key
from shared.errors.problems import UnavailableError

CHUNK_BYTES = 256 * 1024
MAX_CONCURRENT_DELETES = 20
OPEN_TIMEOUT_S = 3.0
"""Shorter than the gateway's timeout of a call, so that a client receives 503 from this service instead of 504."""


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """An open file. `chunks` can be read once. Reading raises OBJECT_STORE_ERRORS if the store becomes unavailable."""

    size_bytes: int
    chunks: AsyncIterator[bytes]


class ReportFileClient:
    """Reads and deletes the files of reports. Every method raises UnavailableError if the store is unavailable."""

    def __init__(self, *, store: ObjectStore) -> None:
        self._store = store

    async def open_file(self, key: str) -> StoredFile:
        """Open a file for reading. Its size is that of the stored object.

        Raises:
            ReportNotReadyError: The file does not exist.
        """
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                found = await obstore.get_async(self._store, key)
        except FileNotFoundError as error:
            raise ReportNotReadyError("The report's file was deleted; request a new report") from error
        except OBJECT_STORE_ERRORS as error:
            raise _unavailable_error() from error
        return StoredFile(size_bytes=found.meta["size"], chunks=found.stream(min_chunk_size=CHUNK_BYTES).__aiter__())

    async def delete_files(self, keys: Sequence[str]) -> None:
        """Delete files and their incomplete uploads (`temporary_key`). Ignore missing files."""
        try:
            for start in range(0, len(keys), MAX_CONCURRENT_DELETES):
                await asyncio.gather(*(self._delete(key) for key in keys[start : start + MAX_CONCURRENT_DELETES]))
        except OBJECT_STORE_ERRORS as error:
            raise _unavailable_error() from error

    async def _delete(self, key: str) -> None:
        for path in (key, temporary_key(key)):
            with suppress(FileNotFoundError):
                await obstore.delete_async(self._store, path)


def _unavailable_error() -> UnavailableError:
    return UnavailableError("The object store of report files is unavailable")
