"""Variables that the documentation sets for `make up` must be listed in the Compose files to reach containers."""

import re
from collections.abc import Iterator
from pathlib import Path

from checks.containers.compose_files import FOLDER, services
from checks.findings import Finding

PAGES = ("README.md", "docs/*.md")
STACK_VARIABLES = ("HOPLINE_HOME", "HOPLINE_PORT_OFFSET", "HOPLINE_PGBOUNCER")
"""Variables that `python -m compose` reads."""

_COMMAND = re.compile(r"((?:\b[A-Z][A-Z0-9_]*=\S+ +)+)make up(?! +MODE=embedded)")


def check(root: Path) -> Iterator[Finding]:
    """Find `NAME=value make up` in the pages, and check that a container receives each variable from the caller."""
    given = _given(root)
    for page in sorted(page for pattern in PAGES for page in root.glob(pattern)):
        assignments = "".join(_COMMAND.findall(page.read_text(encoding="utf-8")))
        names = set(re.findall(r"(?:^|\s)(\w+)=", assignments))
        for name in sorted(names - given):
            yield Finding(
                f"{page.relative_to(root)} {name}",
                "Compose does not pass it to any container",
                f"add it to `environment:` in {FOLDER / 'compose.yaml'}, or write `make up MODE=embedded`",
            )


def _given(root: Path) -> set[str]:
    """Return the variables that come from the caller: interpolated, or listed without a value."""
    files = "".join(file.read_text(encoding="utf-8") for file in (root / FOLDER).glob("*.yaml"))
    interpolated = set(re.findall(r"\$\{([A-Z0-9_]+)", files))
    passed = {
        name
        for service in services(root)
        for name, value in service.definition.get("environment", {}).items()
        if value is None
    }
    return interpolated | passed | set(STACK_VARIABLES)
