"""Compose volumes are declared and used, and all services use the same location for reports."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import urlsplit

from checks.containers.compose_files import Service, declared, default, services
from checks.findings import Finding

STORE = "OBJECT_STORE_URL"


def check(root: Path) -> Iterator[Finding]:
    """Compare the volumes of services with the declared volumes, then check the location of reports."""
    there, used, places = declared(root, "volumes"), set[str](), set[str]()
    for service in services(root):
        mounts = list(_named_mounts(service))
        names = {mount.volume for mount in mounts}
        used |= names
        for name in sorted(names - there):
            yield Finding(service.place, f"volumes has no {name}", "declare it below `volumes:`")
        url = urlsplit(default(service.definition.get("environment", {}).get(STORE, "")))
        if url.scheme == "file":
            writable = (mount for mount in mounts if mount.is_writable)
            at = PurePosixPath(url.path)
            found = next((mount.volume for mount in writable if at.is_relative_to(mount.path)), None)
            places.add(f"{found}:{url.path}")
            if found is None:
                yield Finding(service.place, f"{STORE}={url.geturl()}: no volume is mounted there", "mount it")
        elif url.scheme:
            places.add(url.geturl())
    for name in sorted(there - used):
        yield Finding(f"infra/compose {name}", "no service uses this entry of volumes", "remove it")
    if len(places) > 1:
        remedy = f"give all the same {STORE}, and mount the same volume there"
        yield Finding("infra/compose", f"reports are at {' and '.join(sorted(places))}", remedy)


class _Mount(NamedTuple):
    volume: str
    path: str
    is_writable: bool


def _named_mounts(service: Service) -> Iterator[_Mount]:
    """Yield the mounts of named volumes. Bind mounts are not included."""
    for mount in service.definition.get("volumes", []):
        name, path, *mode = str(mount).split(":")
        if "/" not in name:
            yield _Mount(name, path, is_writable=mode != ["ro"])
