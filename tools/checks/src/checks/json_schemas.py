"""Checks files with the schemas that check-jsonschema contains."""

from collections.abc import Iterator
from pathlib import Path

from checks.findings import Finding
from checks.programs import Program

CHECK_JSONSCHEMA = Program("check-jsonschema", "pip install check-jsonschema")


def check_file(root: Path, file: Path, schema: str) -> Iterator[Finding]:
    """Report each error of a YAML file against a schema of check-jsonschema, such as `vendor.compose-spec`."""
    done = CHECK_JSONSCHEMA.run("--builtin-schema", schema, "--output-format", "text", str(root / file))
    if not done.returncode:
        return
    errors = [line.split("::", 1)[1].strip() for line in done.stdout.splitlines() if "::" in line]
    for problem in errors or [(done.stderr or done.stdout).strip()]:
        yield Finding(str(file), problem, f"see the schema {schema}")
