"""Processes that are asked to leave, one after another, as a rollout does."""

import signal

from chaos.nemesis.scene import Scene
from chaos.processes import SERVERS, WORKERS


async def roll(scene: Scene) -> None:
    """Row 13: SIGTERM to each worker of each service while its siblings answer, then to those that work on jobs."""
    for name in SERVERS:
        for child in scene.processes.children(name):
            before = {sibling.pid for sibling in scene.processes.children(name)}
            child.send_signal(signal.SIGTERM)
            await scene.processes.replaced(name, before)
            await scene.crowd.progress(1)
    for name in WORKERS:
        await scene.processes.kill(name, signal.SIGTERM)
