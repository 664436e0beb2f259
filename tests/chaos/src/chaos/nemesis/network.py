"""Breaks connections and calls between healthy processes."""

from chaos.nemesis.scene import Scene

_CUTS = 15


async def cut_sockets(scene: Scene) -> None:
    """Row 10: close the connection of a random device, many times."""
    for _ in range(_CUTS):
        scene.rng.choice(scene.workload.devices).cut()
        await scene.workload.progress(1)


async def break_upstream(scene: Scene) -> None:
    """Row 14: make all calls from the gateway to orders slow, failing or lost, then those of the workers."""
    for source, kind in (("gateway", "slow"), ("gateway", "errors"), ("gateway", "disconnect"), ("workers", "errors")):
        async with scene.switches.on(source=source, target="orders", kind=kind):
            await scene.workload.progress(4)
