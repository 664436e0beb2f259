"""Processes that end hard: anywhere, or at one of their crash points."""

from functools import partial

from chaos.nemesis.scene import Scene
from chaos.processes import SERVERS, WORKERS

_BETWEEN = 3
"""Operations between two blows."""


async def kill_each(scene: Scene) -> None:
    """Row 1: each process of ours in turn, in any order: masters, what they have forked, and workers."""
    blows = [partial(scene.processes.kill, name) for name in (*SERVERS, *WORKERS)]
    blows += [partial(scene.processes.kill_child, name, scene.rng) for name in SERVERS]
    for blow in scene.rng.sample(blows, k=len(blows)):
        await scene.crowd.progress(_BETWEEN)
        await blow()


async def kill_relay(scene: Scene) -> None:
    """Row 2: between an event's append and anything after it; first who leads, then who follows it."""
    before = {child.pid for child in scene.processes.children("orders")}
    async with scene.switches.on(kind="crash", target="orders", at="relay.after_append"):
        await scene.crowd.until(lambda: scene.processes.lost_one("orders", before), "the relay's crash")
        await scene.processes.replaced("orders", before)
        await scene.crowd.progress(_BETWEEN)


async def kill_consumers(scene: Scene) -> None:
    """Row 3: between the commit of an event's effect and its acknowledgement, in both consumers."""
    before = {child.pid for child in scene.processes.children("notifications")}
    async with scene.switches.on(kind="crash", target="notifications", at="consumer.after_commit"):
        await scene.crowd.until(lambda: scene.processes.lost_one("notifications", before), "a consumer's crash")
        await scene.processes.replaced("notifications", before)
    await _crash_worker(scene, at="consumer.after_commit")


async def kill_job(scene: Scene) -> None:
    """Row 4: after a job's effect and before it is on record, wherever that is."""
    for point in ("job.after_effect", "email.after_handover", "job.before_complete"):
        await _crash_worker(scene, at=point)


async def _crash_worker(scene: Scene, *, at: str) -> None:
    struck = scene.processes.pid("worker")
    async with scene.switches.on(kind="crash", target="workers", at=at):
        await scene.crowd.until(lambda: scene.processes.has_successor("worker", struck), f"a crash at {at}")
    await scene.processes.succeeded("worker", struck)
    await scene.crowd.progress(_BETWEEN)
