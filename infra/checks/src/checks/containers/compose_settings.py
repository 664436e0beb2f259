"""What the pages tell a reader to set for `make up` reaches containers only where Compose is told of it, by name."""

import re
from collections.abc import Iterator
from pathlib import Path

from checks.containers.compose_files import FOLDER, services
from checks.findings import Finding

PAGES = ("README.md", "docs/*.md")
OF_THE_STACK = ("HOPLINE_HOME", "HOPLINE_PORT_OFFSET")
"""Those that `python -m compose` itself reads."""

_TOLD = re.compile(r"((?:\b[A-Z][A-Z0-9_]*=\S+ +)+)make up(?! +MODE=embedded)")


def check(root: Path) -> Iterator[Finding]:
    """Look for `NAME=value make up` in the pages, and for each name where a container is given the caller's value."""
    given = _given(root)
    for page in sorted(page for pattern in PAGES for page in root.glob(pattern)):
        told = "".join(_TOLD.findall(page.read_text(encoding="utf-8")))
        names = set(re.findall(r"(\w+)=", told))
        for name in sorted(names - given):
            yield Finding(
                f"{page.relative_to(root)} {name}",
                "Compose gives it to no container",
                f"name it below `environment:` in {FOLDER / 'compose.yaml'}, or say `make up MODE=embedded`",
            )


def _given(root: Path) -> set[str]:
    """Give the variables whose value is the caller's: interpolated, or named without a value."""
    files = "".join(file.read_text(encoding="utf-8") for file in (root / FOLDER).glob("*.yaml"))
    interpolated = set(re.findall(r"\$\{([A-Z0-9_]+)", files))
    passed = {
        name
        for service in services(root)
        for name, value in service.definition.get("environment", {}).items()
        if value is None
    }
    return interpolated | passed | set(OF_THE_STACK)
