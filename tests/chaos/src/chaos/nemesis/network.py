"""Connections and calls between those that are well."""

from chaos.nemesis.scene import Scene

_CUTS = 15


async def cut_sockets(scene: Scene) -> None:
    """Row 10: of any device, at any time."""
    for _ in range(_CUTS):
        scene.rng.choice(scene.crowd.devices).cut()
        await scene.crowd.progress(1)


async def break_upstream(scene: Scene) -> None:
    """Row 14: what the gateway asks of orders is late, refused or lost, all of it; then what the workers ask."""
    for source, kind in (("gateway", "slow"), ("gateway", "errors"), ("gateway", "disconnect"), ("workers", "errors")):
        async with scene.switches.on(source=source, target="orders", kind=kind):
            await scene.crowd.progress(4)
