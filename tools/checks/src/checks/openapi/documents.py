"""Checks the gateway's OpenAPI documents in `docs/openapi/`, and their copies in the gateway, which serves them."""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from checks.findings import Finding
from checks.openapi.compatibility import find_incompatible_changes
from checks.openapi.compose import compose

COMMITTED: Final = Path("docs/openapi")
SERVED: Final = Path("services/gateway/src/gateway/documents")
FROZEN, GROWING = "v1", "v2"
FROZEN_SHA256: Final = "e74af4ada94651fd0b41a72f2d22d4cf17cd22d1f368b27a5504471ed33420a6"
"""The digest of version 1's file."""

_FROZEN_FILE: Final = str(COMMITTED / f"{FROZEN}.json")
_GROWING_FILE: Final = str(COMMITTED / f"{GROWING}.json")
_MISSING: Final = object()


def render_current_document() -> str:
    """Return version 2's document as JSON text, composed from the code."""
    return json.dumps(compose(), indent=2, ensure_ascii=False) + "\n"


def check(root: Path) -> Iterator[Finding]:
    """Report a changed version 1, incompatible changes of version 2, and files that differ from the code."""
    current = json.loads(render_current_document())
    for version in (FROZEN, GROWING):
        committed, served = COMMITTED / f"{version}.json", SERVED / f"{version}.json"
        missing = [file for file in (committed, served) if not (root / file).exists()]
        yield from map(report_missing, missing)
        if missing:
            continue
        document = json.loads((root / committed).read_bytes())
        served_document = json.loads((root / served).read_bytes())
        if version == FROZEN:
            yield from compare_frozen(document, served_document)
            if sha256((root / served).read_bytes()).hexdigest() != FROZEN_SHA256:
                yield Finding(str(served), "version 1 never changes, but this file differs", "restore it from git")
        else:
            yield from compare_growing(document, current)
            if served_document != current:
                yield Finding(str(served), "differs from the routes and the services", "run `make openapi`")


def report_missing(file: Path) -> Finding:
    """Report a missing document. `make openapi` writes only version 2, and compares it with the committed document."""
    fix = "run `make openapi`" if file == SERVED / f"{GROWING}.json" else "restore it from git"
    return Finding(str(file), "is missing", fix)


def compare_frozen(committed: Any, now: Any) -> Iterator[Finding]:
    """Report any difference of version 1's document between `committed` and `now`."""
    if committed != now:
        where = ", ".join(sorted(differences(committed, now))[:5])
        yield Finding(_FROZEN_FILE, f"version 1 never changes, but differs in {where}", "restore it from git")


def compare_growing(committed: Any, now: Any) -> Iterator[Finding]:
    """Report incompatible changes of version 2's document from `committed` to `now`; if there are none, any other."""
    incompatible = list(report_incompatible_changes(committed, now))
    yield from incompatible
    if committed != now and not incompatible:
        yield Finding(_GROWING_FILE, "version 2 has a compatible change that is not in this file", "run `make openapi`")


def report_incompatible_changes(committed: Any, now: Any) -> Iterator[Finding]:
    """Report the incompatible changes of version 2's document from `committed` to `now`."""
    for change in find_incompatible_changes(committed, now):
        yield Finding(_GROWING_FILE, change, "undo the change or make it compatible, because clients rely on version 2")


def differences(was: Any, now: Any, place: str = "") -> Iterator[str]:
    """Yield the paths at which two JSON values differ. A missing key differs from null."""
    if isinstance(was, dict) and isinstance(now, dict):
        for name in was.keys() | now.keys():
            yield from differences(was.get(name, _MISSING), now.get(name, _MISSING), f"{place}/{name}")
    elif was != now:
        yield place
