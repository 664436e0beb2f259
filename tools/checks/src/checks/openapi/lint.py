"""Checks the committed OpenAPI documents with Redocly's linter."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from checks.findings import Finding
from checks.openapi.documents import COMMITTED
from checks.programs import NodeProgram, end_of_output

FOLDER = Path(__file__).resolve().parents[3] / "redocly"
"""The folder in which npm installs the linter. Its lock has hashes but no addresses."""

REDOCLY = NodeProgram("redocly", "make check installs it if npm is available: apt install nodejs npm", FOLDER)


def check(root: Path) -> Iterator[Finding]:
    """Lint every committed document."""
    linted = REDOCLY.run(
        "lint",
        *("--config", str(FOLDER / "redocly.yaml"), "--format", "json"),
        *(str(document.relative_to(root)) for document in sorted((root / COMMITTED).glob("*.json"))),
        cwd=root,
        environment={**os.environ, "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"},
    )
    reports = list(_reports(linted.stdout))
    if not reports:
        yield Finding(
            str(COMMITTED),
            f"the linter failed: {end_of_output(linted.stderr)}",
            "run redocly lint with the options in checks/openapi/lint.py",
        )
    for problem in (problem for report in reports for problem in report["problems"]):
        place = problem["location"][0]
        at = f"{place['source']['ref']}{place.get('pointer', '')}"
        yield Finding(at, problem["message"], f"see the rule {problem['ruleId']}")


def _reports(output: str) -> Iterator[Any]:
    """Yield the JSON values in the linter's output, one for each document."""
    decoder = json.JSONDecoder()
    rest = output.lstrip()
    while rest.startswith("{"):
        report, end = decoder.raw_decode(rest)
        yield report
        rest = rest[end:].lstrip()
