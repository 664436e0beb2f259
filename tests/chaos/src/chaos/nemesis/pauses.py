"""Freezes processes and resumes them later."""

import psutil

from chaos.nemesis.scene import Scene
from testkit.waiting import eventually

_STREAM = "events:orders"
_LEASE_S = 60.0
"""Timeout of a takeover: longer than a job's lease, the sweeper's interval and the timeout of a relay's leadership."""


async def freeze_past_the_lease(scene: Scene) -> None:
    """Row 5: freeze a worker with running jobs until another takes them over, then a relay until another leads."""
    await _freeze_worker(scene)
    await scene.workload.progress(3)
    await _freeze_leader(scene)


async def _freeze_worker(scene: Scene) -> None:
    async with scene.switches.on(source="workers", target="users", kind="slow", value=1_500):
        await scene.workload.until(scene.snapshot_reader.running_jobs, "a running job")
        with scene.processes.frozen(psutil.Process(scene.processes.pid("worker"))):
            leases = await scene.snapshot_reader.running_jobs()
            async with scene.processes.second_worker():

                async def taken_over() -> bool:
                    return not leases & await scene.snapshot_reader.running_jobs()

                await eventually(taken_over, _LEASE_S, "another worker to take over the frozen worker's jobs")


async def _freeze_leader(scene: Scene) -> None:
    port = await eventually(lambda: scene.snapshot_reader.leader(_STREAM), _LEASE_S, "a leading relay")
    [leader] = [
        child
        for child in scene.processes.children("orders")
        if any(connection.laddr.port == port for connection in child.net_connections())
    ]

    async def another_leads() -> bool:
        return await scene.snapshot_reader.leader(_STREAM) not in {None, port}

    with scene.processes.frozen(leader):
        await eventually(another_leads, _LEASE_S, "another leading relay")


async def freeze_observatory(scene: Scene) -> None:
    """Row 17: freeze the observatory, which receives the telemetry."""
    with scene.processes.frozen(psutil.Process(scene.processes.pid("observatory"))):
        await scene.workload.progress(20)
