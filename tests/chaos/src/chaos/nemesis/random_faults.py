"""Two nemeses that are not in the matrix: one injects no fault, the other injects faults in random order."""

from collections.abc import Awaitable, Callable
from functools import partial

from chaos.nemesis.scene import Scene
from chaos.nemesis.stores import flush_redis, kill_redis
from chaos.processes import SERVERS

_OPERATIONS_BETWEEN = 2


async def leave_alone(scene: Scene) -> None:
    """Inject no fault. Wait for some operations, like other rows."""
    await scene.workload.progress(_OPERATIONS_BETWEEN)


async def inject_at_random(scene: Scene) -> None:
    """In random order, kill `worker` and a gunicorn worker of each of two services, and kill or empty Redis.

    Before each of these faults, close the connection of a random device.
    """
    processes, rng = scene.processes, scene.rng
    first, second = rng.sample(SERVERS, k=2)
    faults: list[Callable[[], Awaitable[None]]] = [
        partial(processes.kill_child, first, rng),
        partial(processes.kill_child, second, rng),
        partial(processes.kill, "worker"),
        partial(rng.choice((kill_redis, flush_redis)), scene),
    ]
    for inject in rng.sample(faults, k=len(faults)):
        rng.choice(scene.workload.devices).cut()
        await scene.workload.progress(_OPERATIONS_BETWEEN)
        await inject()
