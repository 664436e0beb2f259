"""How a report's file comes into the object store: written beside its place, put there when it is whole.

A file that is begun again writes over what was left of the first try; whoever reads the place finds a whole file or
none. What a store keeps of a try that was killed in the middle (a staged file `….part#1` in a folder, an unfinished
upload in S3) is under no name: let a rule of the bucket abort those after a day.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Final

import obstore

from shared.objects import AWAY, ObjectStore, beside
from workers.errors import DependencyAway

if TYPE_CHECKING:  # the only place where it exists
    from obstore import AsyncWritableFile

PART_BYTES: Final = 5 * 1024 * 1024
"""What is sent at once: S3's least, but for the last."""
PARTS_AT_ONCE: Final = 1


class Writer:
    """Writes one file; `size_bytes` so far."""

    def __init__(self, file: "AsyncWritableFile") -> None:
        self._file = file
        self.size_bytes = 0

    async def write(self, piece: bytes) -> None:
        """Write what comes next."""
        if piece:
            await self._file.write(piece)
            self.size_bytes += len(piece)


class ReportFolder:
    """Where reports' files are written. Raises DependencyAway where the store fails."""

    def __init__(self, *, store: ObjectStore) -> None:
        self._store = store

    @asynccontextmanager
    async def beside(self, key: str) -> AsyncIterator[Writer]:
        """Write beside the place `key`; what is left by an exception is not kept."""
        with _failures_named():
            async with obstore.open_writer_async(
                self._store, beside(key), buffer_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE
            ) as file:
                yield Writer(file)

    async def put(self, key: str) -> None:
        """Put what was written beside the place there, in one step."""
        with _failures_named():
            await obstore.rename_async(self._store, beside(key), key, overwrite=True)

    async def discard(self, key: str) -> None:
        """Delete what was written beside the place."""
        with _failures_named(), suppress(FileNotFoundError):
            await obstore.delete_async(self._store, beside(key))


@contextmanager
def _failures_named() -> Iterator[None]:
    try:
        yield
    except AWAY as error:
        raise DependencyAway(f"the object store: {str(error).partition(chr(10))[0]}") from error
