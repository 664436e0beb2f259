"""Redis and PostgreSQL, gone or emptied."""

import signal

from chaos.nemesis.scene import Scene

_BETWEEN = 5


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
