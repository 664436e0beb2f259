"""Processes that stand still and go on later, as if nothing had happened."""

import psutil

from chaos.nemesis.scene import Scene
from testkit.waiting import eventually

_STREAM = "events:orders"
_LEASE_S = 60.0
"""More than a job's lease and its sweep, and than the silence after which a relay loses its lead."""


async def freeze_past_the_lease(scene: Scene) -> None:
    """Row 5: a worker with jobs in hand until another has taken them over, then a relay until another leads."""
    await _freeze_worker(scene)
    await scene.crowd.progress(3)
    await _freeze_leader(scene)


async def _freeze_worker(scene: Scene) -> None:
    async with scene.switches.on(source="workers", target="users", kind="slow", value=1_500):
        await scene.crowd.until(scene.census.jobs_in_hand, "a job in hand")
        with scene.processes.frozen(psutil.Process(scene.processes.pid("worker"))):
            held = await scene.census.jobs_in_hand()
            async with scene.processes.second_worker():

                async def taken_over() -> bool:
                    return not held & await scene.census.jobs_in_hand()

                await eventually(taken_over, _LEASE_S, "the frozen worker's jobs in another's hands")


async def _freeze_leader(scene: Scene) -> None:
    port = await eventually(lambda: scene.census.leader(_STREAM), _LEASE_S, "a leading relay")
    [leader] = [
        child
        for child in scene.processes.children("orders")
        if any(connection.laddr.port == port for connection in child.net_connections())
    ]

    async def another_leads() -> bool:
        return await scene.census.leader(_STREAM) not in {None, port}

    with scene.processes.frozen(leader):
        await eventually(another_leads, _LEASE_S, "another leading relay")


async def freeze_observatory(scene: Scene) -> None:
    """Row 17: who takes the telemetry takes nothing, and says nothing."""
    with scene.processes.frozen(psutil.Process(scene.processes.pid("observatory"))):
        await scene.crowd.progress(20)
