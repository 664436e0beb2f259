"""Checks the Compose files with the schema of the Compose specification."""

from collections.abc import Iterator
from pathlib import Path

from checks.containers.compose_files import FOLDER
from checks.findings import Finding
from checks.json_schemas import check_file


def check(root: Path) -> Iterator[Finding]:
    """Check each YAML file of the folder."""
    for file in sorted((root / FOLDER).glob("*.yaml")):
        yield from check_file(root, file.relative_to(root), "vendor.compose-spec")
