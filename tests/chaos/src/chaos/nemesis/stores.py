"""Redis and PostgreSQL, gone or emptied, and Redis that refuses writes."""

import signal

from chaos.nemesis.scene import Scene

_BETWEEN = 5

_REFUSALS = (("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"), ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"))
"""Commands after which Redis refuses writes, each with the one that ends it."""


async def kill_redis(scene: Scene) -> None:
    """Row 6: kill -9; its append-only file has all but the last second."""
    await scene.processes.kill("valkey")


async def flush_redis(scene: Scene) -> None:
    """Row 7: everything in it, twice."""
    for _ in range(2):
        redis = scene.redis()
        try:
            await redis.flushall()
        finally:
            await redis.aclose()
        await scene.crowd.progress(_BETWEEN)


async def stop_postgres(scene: Scene) -> None:
    """Row 8: an immediate stop of every database at once, without a checkpoint."""
    await scene.processes.kill("postgres", signal.SIGQUIT)


async def refuse_redis_writes(scene: Scene) -> None:
    """Row 19: Redis has no memory left, then it is a replica. No process ends because of it."""
    redis = scene.redis()
    try:
        with scene.processes.kept():
            for refuse, accept in _REFUSALS:
                try:
                    await redis.execute_command(*refuse.split())  # type: ignore[no-untyped-call]
                    await scene.crowd.progress(2 * _BETWEEN)
                finally:
                    await redis.execute_command(*accept.split())  # type: ignore[no-untyped-call]
                await scene.crowd.progress(_BETWEEN)
            await scene.processes.ready()
    finally:
        await redis.aclose()
