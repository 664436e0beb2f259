"""Real servers that respond but cannot serve: a read-only PostgreSQL, a Redis that rejects writes, a full disk."""

import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import asyncpg
import pytest
from redis.asyncio import Redis

from testkit.apps import free_port

REDIS_REJECTIONS: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "out of memory": (("CONFIG SET", "maxmemory", "1"), ("CONFIG SET", "maxmemory", "0")),
    "replica": (("REPLICAOF", "127.0.0.1", str(free_port())), ("REPLICAOF", "NO", "ONE")),
    "too few replicas": (("CONFIG SET", "min-replicas-to-write", "1"), ("CONFIG SET", "min-replicas-to-write", "0")),
}
"""Two commands by the name of a state: Redis rejects writes after the first, and accepts them after the second."""


@asynccontextmanager
async def rejecting_writes(redis_url: str, rejection: str) -> AsyncIterator[None]:
    """Make the server at `redis_url` reject writes within the block, by one of REDIS_REJECTIONS."""
    reject, accept = REDIS_REJECTIONS[rejection]
    async with Redis.from_url(redis_url) as redis:
        await redis.execute_command(*reject)
        try:
            yield
        finally:
            await redis.execute_command(*accept)


@contextmanager
def small_disk(folder: Path, *, like: Path, megabytes: int) -> Iterator[None]:
    """Mount a file system of this size at `folder`, with the owner of `like`. Skip the test without permission."""
    folder.mkdir()
    owner = like.stat()
    options = f"size={megabytes}m,uid={owner.st_uid},gid={owner.st_gid},mode=700"
    mounted = subprocess.run(  # noqa: S603 - our own command line
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],  # noqa: S607
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a file system needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S603, S607


@asynccontextmanager
async def read_only(postgres_url: str) -> AsyncIterator[None]:
    """Make every transaction of the server at `postgres_url` read-only within the block, as on a demoted primary."""
    await _reconfigure(postgres_url, "ALTER SYSTEM SET default_transaction_read_only = on")
    try:
        yield
    finally:
        await _reconfigure(postgres_url, "ALTER SYSTEM RESET default_transaction_read_only")


async def _reconfigure(postgres_url: str, statement: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    try:
        await connection.execute(statement)
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()
