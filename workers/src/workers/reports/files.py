"""Writes report files to the object store, first under a temporary key. A complete file is renamed in one step.

Therefore a reader never finds an incomplete file, and a second attempt overwrites the temporary file of the first. If
a worker is killed, a staged file (`….part#1` in a folder) or an incomplete upload (in S3) may remain. A lifecycle rule
of the bucket should abort such uploads after a day.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Final

import obstore

from shared.db.object_store import OBJECT_STORE_ERRORS, ObjectStore, temporary_key
from workers.errors import DependencyUnavailableError

if TYPE_CHECKING:  # obstore defines this class only for type checkers
    from obstore import AsyncWritableFile

PART_BYTES: Final = 5 * 1024 * 1024
"""Size of a part of an upload. It is the minimum of S3 for all parts except the last."""
MAX_CONCURRENT_PARTS: Final = 1


class Writer:
    """Writes one file and counts its bytes."""

    def __init__(self, file: "AsyncWritableFile") -> None:
        self._file = file
        self.size_bytes = 0

    async def write(self, piece: bytes) -> None:
        """Append `piece`."""
        if piece:
            await self._file.write(piece)
            self.size_bytes += len(piece)


class ReportFiles:
    """Files of reports. Every method raises DependencyUnavailableError if the object store fails."""

    def __init__(self, *, store: ObjectStore) -> None:
        self._store = store

    @asynccontextmanager
    async def open_temporary(self, key: str) -> AsyncIterator[Writer]:
        """Write the temporary file of `key` within the block. An exception discards the file."""
        with _translate_errors():
            async with obstore.open_writer_async(
                self._store, temporary_key(key), buffer_size=PART_BYTES, max_concurrency=MAX_CONCURRENT_PARTS
            ) as file:
                yield Writer(file)

    async def publish(self, key: str) -> None:
        """Rename the temporary file to `key`, in one step."""
        with _translate_errors():
            await obstore.rename_async(self._store, temporary_key(key), key, overwrite=True)

    async def discard(self, key: str) -> None:
        """Delete the temporary file of `key`."""
        with _translate_errors(), suppress(FileNotFoundError):
            await obstore.delete_async(self._store, temporary_key(key))


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except OBJECT_STORE_ERRORS as error:
        raise DependencyUnavailableError(f"the object store: {str(error).partition(chr(10))[0]}") from error
