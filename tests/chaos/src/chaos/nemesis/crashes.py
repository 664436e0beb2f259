"""Kills processes at any point, or at a crash point."""

from functools import partial

from chaos.nemesis.scene import Scene
from chaos.processes import SERVERS, WORKERS

_BETWEEN = 3
"""Operations between two kills."""


async def kill_each(scene: Scene) -> None:
    """Row 1: kill each process in random order: masters, their child processes, and workers."""
    blows = [partial(scene.processes.kill, name) for name in (*SERVERS, *WORKERS)]
    blows += [partial(scene.processes.kill_child, name, scene.rng) for name in SERVERS]
    for blow in scene.rng.sample(blows, k=len(blows)):
        await scene.workload.progress(_BETWEEN)
        await blow()


async def kill_relay(scene: Scene) -> None:
    """Row 2: crash between the append of an event and the next step; first the leading relay, then its successor."""
    before = {child.pid for child in scene.processes.children("orders")}
    async with scene.switches.on(kind="crash", target="orders", at="relay.after_append"):
        await scene.workload.until(lambda: scene.processes.lost_one("orders", before), "the relay's crash")
        await scene.processes.replaced("orders", before)
        await scene.workload.progress(_BETWEEN)


async def kill_consumers(scene: Scene) -> None:
    """Row 3: crash both consumers between the commit of an event's effect and its acknowledgement."""
    before = {child.pid for child in scene.processes.children("notifications")}
    async with scene.switches.on(kind="crash", target="notifications", at="consumer.after_commit"):
        await scene.workload.until(lambda: scene.processes.lost_one("notifications", before), "a consumer's crash")
        await scene.processes.replaced("notifications", before)
    await _crash_worker(scene, at="consumer.after_commit")


async def kill_job(scene: Scene) -> None:
    """Row 4: crash after a job's effect and before it is recorded, at each crash point."""
    for point in ("job.after_effect", "email.after_handover", "job.before_complete"):
        await _crash_worker(scene, at=point)


async def _crash_worker(scene: Scene, *, at: str) -> None:
    applied = scene.processes.pid("worker")
    async with scene.switches.on(kind="crash", target="workers", at=at):
        await scene.workload.until(lambda: scene.processes.has_successor("worker", applied), f"a crash at {at}")
    await scene.processes.succeeded("worker", applied)
    await scene.workload.progress(_BETWEEN)
