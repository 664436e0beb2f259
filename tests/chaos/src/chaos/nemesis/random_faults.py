"""Faults outside the matrix: none, and random ones."""

from collections.abc import Awaitable, Callable
from functools import partial

from chaos.nemesis.scene import Scene
from chaos.nemesis.stores import flush_redis, kill_redis
from chaos.processes import SERVERS

_BETWEEN = 2


async def leave_alone(scene: Scene) -> None:
    """Inject no fault; wait as long as other rows."""
    await scene.workload.progress(_BETWEEN)


async def inject_at_random(scene: Scene) -> None:
    """Kill workers of two services and the worker, kill or empty Redis, in random order, and close sockets."""
    processes, rng = scene.processes, scene.rng
    first, second = rng.sample(SERVERS, k=2)
    blows: list[Callable[[], Awaitable[None]]] = [
        partial(processes.kill_child, first, rng),
        partial(processes.kill_child, second, rng),
        partial(processes.kill, "worker"),
        partial(rng.choice((kill_redis, flush_redis)), scene),
    ]
    for blow in rng.sample(blows, k=len(blows)):
        rng.choice(scene.workload.devices).cut()
        await scene.workload.progress(_BETWEEN)
        await blow()
