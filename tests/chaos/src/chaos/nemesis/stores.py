"""Stops or empties Redis and PostgreSQL, and makes Redis reject writes."""

import signal

from chaos.nemesis.scene import Scene

_OPERATIONS_BETWEEN = 5

_REJECTIONS = (("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"), ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"))
"""Commands that make Redis reject writes, each with the command that reverts it."""


async def kill_redis(scene: Scene) -> None:
    """Row 6: kill Redis. Its append-only file may lack the last second."""
    await scene.processes.kill("valkey")


async def flush_redis(scene: Scene) -> None:
    """Row 7: delete everything in Redis, twice."""
    for _ in range(2):
        redis = scene.redis()
        try:
            await redis.flushall()
        finally:
            await redis.aclose()
        await scene.workload.progress(_OPERATIONS_BETWEEN)


async def stop_postgres(scene: Scene) -> None:
    """Row 8: stop PostgreSQL immediately, without a checkpoint."""
    await scene.processes.kill("postgres", signal.SIGQUIT)


async def reject_redis_writes(scene: Scene) -> None:
    """Row 19: make Redis reject writes, first without free memory, then as a replica. No process may exit."""
    redis = scene.redis()
    try:
        with scene.processes.assert_none_exits():
            for reject, accept in _REJECTIONS:
                try:
                    await redis.execute_command(*reject.split())  # type: ignore[no-untyped-call]
                    await scene.workload.progress(2 * _OPERATIONS_BETWEEN)
                finally:
                    await redis.execute_command(*accept.split())  # type: ignore[no-untyped-call]
                await scene.workload.progress(_OPERATIONS_BETWEEN)
            await scene.processes.wait_until_ready()
    finally:
        await redis.aclose()
