"""No rows of the matrix: nothing at all, and a few blows at random."""

from collections.abc import Awaitable, Callable
from functools import partial

from chaos.nemesis.scene import Scene
from chaos.nemesis.stores import flush_redis, kill_redis
from chaos.processes import SERVERS

_BETWEEN = 2


async def leave_alone(scene: Scene) -> None:
    """Only wait as long as others do."""
    await scene.crowd.progress(_BETWEEN)


async def strike_at_random(scene: Scene) -> None:
    """kill -9 of workers of two services and of the worker, Redis killed or emptied, in any order; and sockets cut."""
    processes, rng = scene.processes, scene.rng
    one, other = rng.sample(SERVERS, k=2)
    blows: list[Callable[[], Awaitable[None]]] = [
        partial(processes.kill_child, one, rng),
        partial(processes.kill_child, other, rng),
        partial(processes.kill, "worker"),
        partial(rng.choice((kill_redis, flush_redis)), scene),
    ]
    for blow in rng.sample(blows, k=len(blows)):
        rng.choice(scene.crowd.devices).cut()
        await scene.crowd.progress(_BETWEEN)
        await blow()
