"""The Compose files against the schema of the Compose specification."""

from collections.abc import Iterator
from pathlib import Path

from checks.containers.compose_files import FOLDER
from checks.findings import Finding
from checks.programs import Program

CHECK_JSONSCHEMA = Program("check-jsonschema", "pip install check-jsonschema")


def check(root: Path) -> Iterator[Finding]:
    """Check all YAML files of the folder with the schema that the tool contains."""
    for file in sorted((root / FOLDER).glob("*.yaml")):
        done = CHECK_JSONSCHEMA.run("--builtin-schema", "vendor.compose-spec", "--output-format", "text", str(file))
        for line in done.stdout.splitlines() if done.returncode else []:
            if "::" in line:
                yield Finding(
                    str(file.relative_to(root)), line.split("::", 1)[1].strip(), "see the Compose specification"
                )
        if done.returncode and "::" not in done.stdout:
            yield Finding(str(file.relative_to(root)), (done.stderr or done.stdout).strip(), "make it valid YAML")
