"""Restarts processes gracefully one after another, like a rollout."""

import signal

from chaos.nemesis.scene import Scene
from chaos.processes import SERVERS, WORKERS


async def roll(scene: Scene) -> None:
    """Row 13: send SIGTERM to one gunicorn worker after another while the others respond, then to the ARQ workers."""
    for name in SERVERS:
        for child in scene.processes.children(name):
            before = {sibling.pid for sibling in scene.processes.children(name)}
            child.send_signal(signal.SIGTERM)
            await scene.processes.wait_for_replacement(name, before)
            await scene.workload.progress(1)
    for name in WORKERS:
        await scene.processes.kill(name, signal.SIGTERM)
