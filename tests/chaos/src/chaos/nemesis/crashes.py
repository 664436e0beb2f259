"""Kills processes at any point, or at a crash point."""

from functools import partial

from chaos.nemesis.scene import Scene
from chaos.processes import SERVERS, WORKERS

_OPERATIONS_BETWEEN = 3
"""Operations between two kills."""


async def kill_each(scene: Scene) -> None:
    """Row 1: kill each process in random order: masters, their child processes, and workers."""
    kills = [partial(scene.processes.kill, name) for name in (*SERVERS, *WORKERS)]
    kills += [partial(scene.processes.kill_child, name, scene.rng) for name in SERVERS]
    for kill in scene.rng.sample(kills, k=len(kills)):
        await scene.workload.progress(_OPERATIONS_BETWEEN)
        await kill()


async def kill_relay(scene: Scene) -> None:
    """Row 2: crash between the append of an event and the next step; first the leading relay, then its successor."""
    before = {child.pid for child in scene.processes.children("orders")}
    async with scene.switches.on(kind="crash", target="orders", at="relay.after_append"):
        await scene.workload.act_until(lambda: scene.processes.has_lost_worker("orders", before), "the relay's crash")
        await scene.processes.wait_for_replacement("orders", before)
        await scene.workload.progress(_OPERATIONS_BETWEEN)


async def kill_consumers(scene: Scene) -> None:
    """Row 3: crash both consumers between the commit of an event's effect and its acknowledgement."""
    before = {child.pid for child in scene.processes.children("notifications")}
    async with scene.switches.on(kind="crash", target="notifications", at="consumer.after_commit"):
        await scene.workload.act_until(
            lambda: scene.processes.has_lost_worker("notifications", before), "a consumer's crash"
        )
        await scene.processes.wait_for_replacement("notifications", before)
    await _crash_worker(scene, at="consumer.after_commit")


async def kill_job(scene: Scene) -> None:
    """Row 4: crash between the effect of a job and its record, at each crash point in turn."""
    for point in ("job.after_effect", "email.after_handover", "job.before_complete"):
        await _crash_worker(scene, at=point)


async def _crash_worker(scene: Scene, *, at: str) -> None:
    pid = scene.processes.pid("worker")
    async with scene.switches.on(kind="crash", target="workers", at=at):
        await scene.workload.act_until(lambda: scene.processes.has_successor("worker", pid), f"a crash at {at}")
    await scene.processes.wait_for_successor("worker", pid)
    await scene.workload.progress(_OPERATIONS_BETWEEN)
