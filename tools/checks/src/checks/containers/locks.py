"""Packages of the images: each image installs the common lock `runtime.txt` and the lock of its package."""

import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from checks.findings import Finding

FOLDER = Path("requirements")
COMMON = "runtime"
ALL = "dev"
SHARED = "shared"
RENEW = "run `make lock`"
NOT_SHIPPED = "hopline-client"
"""The package for tools and tests. The images install all other packages of `packages/`."""

_PIN = re.compile(r"(?m)^(?P<name>[\w.-]+)==(?P<version>\S+)")


def check(root: Path) -> Iterator[Finding]:
    """Compare the dependencies of each shipped package with its locks, and each version with the tested version."""
    tested, common = _pins(root, ALL), _pins(root, COMMON)
    projects = [*root.glob("services/*/pyproject.toml"), root / "workers/pyproject.toml"]
    packages = {path.parent.name: path for path in projects}
    for name, path in sorted(packages.items()):
        own = _pins(root, name)
        for missing in sorted(_declared(root, path) - common.keys() - own.keys()):
            yield Finding(f"{FOLDER}/{name}.txt", f"the image does not contain {missing}", RENEW)
        for twice in sorted(own.keys() & common.keys()):
            yield Finding(f"{FOLDER}/{name}.txt", f"{twice} is in {COMMON}.txt too", RENEW)
    for path in sorted(root.glob("packages/*/pyproject.toml")):
        if path.parent.name != NOT_SHIPPED:
            for missing in sorted(_declared(root, path) - common.keys()):
                yield Finding(f"{FOLDER}/{COMMON}.txt", f"the image does not contain {missing}", RENEW)
    for name in (COMMON, *sorted(packages)):
        for package, version in _pins(root, name).items():
            if tested.get(package) != version:
                problem = f"{package} is {version} in images, {tested.get(package, 'absent')} in tests"
                yield Finding(f"{FOLDER}/{name}.txt", problem, RENEW)


def _declared(root: Path, path: Path, extras: Iterable[str] = ()) -> set[str]:
    """Return the external dependencies of a package and of Hopline's packages that it depends on."""
    ours = {
        _project(own)["name"]: own
        for own in [root / SHARED / "pyproject.toml", *root.glob("packages/*/pyproject.toml")]
    }
    project = _project(path)
    found = set[str]()
    for line in [
        *project["dependencies"],
        *(line for extra in extras for line in project["optional-dependencies"][extra]),
    ]:
        requirement = Requirement(line)
        if requirement.name in ours:
            found |= _declared(root, ours[requirement.name], requirement.extras)
        else:
            found.add(canonicalize_name(requirement.name))
    return found


def _project(path: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    return project


def _pins(root: Path, name: str) -> dict[str, str]:
    path = root / FOLDER / f"{name}.txt"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return {canonicalize_name(found["name"]): found["version"] for found in _PIN.finditer(text)}
