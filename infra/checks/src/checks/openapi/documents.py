"""The gateway's OpenAPI documents: committed below `docs/openapi/`, and what the code describes now."""

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from checks.findings import Finding
from checks.openapi.growth import losses
from checks.programs import Program

COMMITTED = Path("docs/openapi")
FROZEN, GROWING = "v1", "v2"

PYTHON = Program(Path(sys.executable).name, "run make")


def described() -> dict[str, Any]:
    """Each version's document by the code of now; raises RuntimeError with the gateway's words where it makes none."""
    with tempfile.TemporaryDirectory() as folder:
        made = PYTHON.run("-m", "gateway.documents", folder)
        if made.returncode:
            raise RuntimeError(made.stderr)
        return {name: json.loads((Path(folder) / f"{name}.json").read_bytes()) for name in (FROZEN, GROWING)}


def check(root: Path) -> Iterator[Finding]:
    """Version 1 is as it was, version 2 has lost nothing, and both files are what is served."""
    now = described()
    for version in (FROZEN, GROWING):
        file = COMMITTED / f"{version}.json"
        if not (root / file).exists():
            yield Finding(str(file), "is missing", "make openapi")
            continue
        committed = json.loads((root / file).read_bytes())
        yield from compare(version, committed, now[version])


def compare(version: str, committed: Any, now: Any) -> Iterator[Finding]:
    """What is wrong with a version whose document was `committed` and is so `now`."""
    file = str(COMMITTED / f"{version}.json")
    if version == FROZEN:
        if committed != now:
            where = ", ".join(sorted(differences(committed, now))[:5])
            wrong = f"version 1 never changes, and differs in {where}"
            yield Finding(file, wrong, "give it shapes of its own; on purpose: delete the file, make openapi")
        return
    lost = list(losses(committed, now))
    yield from (Finding(file, loss, "keep it: what clients rely on goes with a version, not before") for loss in lost)
    if committed != now and not lost:
        yield Finding(file, "version 2 has changed without a loss, and this file does not say so", "make openapi")


def differences(was: Any, now: Any, place: str = "") -> Iterator[str]:
    """The places, as paths of members, at which two JSON values differ."""
    if isinstance(was, dict) and isinstance(now, dict):
        for name in was.keys() | now.keys():
            yield from differences(was.get(name), now.get(name), f"{place}/{name}")
    elif was != now:
        yield place
