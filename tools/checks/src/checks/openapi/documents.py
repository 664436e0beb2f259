"""The gateway's OpenAPI documents: in `docs/openapi/`, and as copies in the gateway, which serves them."""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from checks.findings import Finding
from checks.openapi.compose import compose
from checks.openapi.growth import losses

COMMITTED: Final = Path("docs/openapi")
SERVED: Final = Path("services/gateway/src/gateway/documents")
FROZEN, GROWING = "v1", "v2"
FROZEN_SHA256: Final = "e74af4ada94651fd0b41a72f2d22d4cf17cd22d1f368b27a5504471ed33420a6"


def assembled() -> str:
    """Return the content of version 2's file."""
    return json.dumps(compose(), indent=2, ensure_ascii=False) + "\n"


def check(root: Path) -> Iterator[Finding]:
    """Report a changed version 1, incompatible changes of version 2, and files that differ from the code."""
    current = json.loads(assembled())
    for version in (FROZEN, GROWING):
        committed, served = COMMITTED / f"{version}.json", SERVED / f"{version}.json"
        missing = [file for file in (committed, served) if not (root / file).exists()]
        yield from (Finding(str(file), "is missing", "make openapi; restore version 1 from git") for file in missing)
        if missing:
            continue
        document = json.loads((root / committed).read_bytes())
        served_document = json.loads((root / served).read_bytes())
        yield from compare(version, document, served_document if version == FROZEN else current)
        if version == FROZEN and sha256((root / served).read_bytes()).hexdigest() != FROZEN_SHA256:
            yield Finding(str(served), "version 1 never changes, but this file differs", "restore it from git")
        if version == GROWING and served_document != current:
            yield Finding(str(served), "differs from the routes and the services", "make openapi")


def compare(version: str, committed: Any, now: Any) -> Iterator[Finding]:
    """Report incompatible changes of a version's document from `committed` to `now`."""
    file = str(COMMITTED / f"{version}.json")
    if version == FROZEN:
        if committed != now:
            where = ", ".join(sorted(differences(committed, now))[:5])
            yield Finding(file, f"version 1 never changes, but differs in {where}", "restore it from git")
        return
    lost = list(losses(committed, now))
    yield from (Finding(file, loss, "keep it: clients may rely on it until the next version") for loss in lost)
    if committed != now and not lost:
        yield Finding(file, "version 2 has a compatible change that is not in this file", "make openapi")


def differences(was: Any, now: Any, place: str = "") -> Iterator[str]:
    """Yield the paths at which two JSON values differ."""
    if isinstance(was, dict) and isinstance(now, dict):
        for name in was.keys() | now.keys():
            yield from differences(was.get(name), now.get(name), f"{place}/{name}")
    elif was != now:
        yield place
