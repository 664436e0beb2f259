"""Compose volumes are declared and used, and all services use the same location for reports."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from checks.containers.compose_files import Service, declared, default, services
from checks.findings import Finding

STORE = "OBJECT_STORE_URL"


def check(root: Path) -> Iterator[Finding]:
    """Compare the volumes of services with the declared volumes, then check the location of reports."""
    there, used, places = declared(root, "volumes"), set[str](), set[str]()
    for service in services(root):
        mounts = _named(service)
        used |= set(mounts.values())
        for name in sorted(set(mounts.values()) - there):
            yield Finding(service.place, f"volumes has no {name}", "declare it below `volumes:`")
        url = urlsplit(default(service.definition.get("environment", {}).get(STORE, "")))
        if url.scheme == "file":
            found = next((name for at, name in mounts.items() if PurePosixPath(url.path).is_relative_to(at)), None)
            places.add(f"{found}:{url.path}")
            if found is None:
                yield Finding(service.place, f"{STORE}={url.geturl()}: no volume is mounted there", "mount it")
    for name in sorted(there - used):
        yield Finding(f"infra/compose {name}", "no service uses this entry of volumes", "remove it")
    if len(places) > 1:
        yield Finding("infra/compose", f"reports are at {' and '.join(sorted(places))}", f"give all the same {STORE}")


def _named(service: Service) -> dict[str, str]:
    """Return the named volumes that a service can write to, by mount path. Bind mounts are not included."""
    mounts = (str(mount).split(":") for mount in service.definition.get("volumes", []))
    return {at: name for name, at, *mode in mounts if "/" not in name and mode != ["ro"]}
