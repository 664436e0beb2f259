"""Freezes processes and resumes them later."""

import psutil

from chaos.nemesis.scene import Scene
from testkit.waiting import eventually

_STREAM = "events:orders"
_TAKEOVER_TIMEOUT_S = 60.0
"""Longer than the lease of a job, the sweeper's interval, and the time after which a relay loses its leadership."""


async def freeze_past_the_lease(scene: Scene) -> None:
    """Row 5: freeze a worker until another worker has its jobs, then the leading relay until another relay leads."""
    await freeze_worker(scene)
    await scene.workload.progress(3)
    await _freeze_leader(scene)


async def freeze_worker(scene: Scene) -> None:
    """Freeze the worker again if its jobs ended before it was frozen, because no other worker would take them over."""
    async with scene.switches.on(source="workers", target="users", kind="slow", value=1_500):
        leases = set[str]()
        while not leases:
            await scene.workload.act_until(scene.snapshot_reader.running_jobs, "a running job")
            with scene.processes.frozen(psutil.Process(scene.processes.pid("worker"))):
                leases = await scene.snapshot_reader.running_jobs()
                if leases:
                    await _wait_for_takeover(scene, leases)


async def _wait_for_takeover(scene: Scene, leases: set[str]) -> None:
    async def are_taken_over() -> bool:
        return not leases & await scene.snapshot_reader.running_jobs()

    async with scene.processes.second_worker():
        await eventually(are_taken_over, _TAKEOVER_TIMEOUT_S, "another worker to run the frozen worker's jobs")


async def _freeze_leader(scene: Scene) -> None:
    port = await eventually(lambda: scene.snapshot_reader.leader(_STREAM), _TAKEOVER_TIMEOUT_S, "a leading relay")
    [leader] = [
        child
        for child in scene.processes.children("orders")
        if any(connection.laddr.port == port for connection in child.net_connections())
    ]

    async def another_leads() -> bool:
        return await scene.snapshot_reader.leader(_STREAM) not in {None, port}

    with scene.processes.frozen(leader):
        await eventually(another_leads, _TAKEOVER_TIMEOUT_S, "another leading relay")


async def freeze_observatory(scene: Scene) -> None:
    """Row 17: freeze the observatory, which receives the telemetry."""
    with scene.processes.frozen(psutil.Process(scene.processes.pid("observatory"))):
        await scene.workload.progress(20)
