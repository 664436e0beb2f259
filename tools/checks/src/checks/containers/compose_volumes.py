"""The Compose volumes: declared and used; and reports have one place, which those who name it can reach."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from checks.containers.compose_files import Service, declared, default, services
from checks.findings import Finding

STORE = "OBJECT_STORE_URL"


def check(root: Path) -> Iterator[Finding]:
    """Hold each service's volumes against those that are declared, then look for where the reports are."""
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
        yield Finding(f"infra/compose {name}", "none of the services uses this of volumes", "remove it")
    if len(places) > 1:
        yield Finding("infra/compose", f"reports are at {' and '.join(sorted(places))}", f"give all the same {STORE}")


def _named(service: Service) -> dict[str, str]:
    """Give the named volumes by where a service can write into them; files and folders of the checkout are none."""
    mounts = (str(mount).split(":") for mount in service.definition.get("volumes", []))
    return {at: name for name, at, *mode in mounts if "/" not in name and mode != ["ro"]}
