"""The committed OpenAPI documents against the specification and good manners, by Redocly's linter."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from checks.findings import Finding
from checks.openapi.documents import COMMITTED
from checks.programs import Program

FOLDER = Path(__file__).resolve().parents[3] / "redocly"
"""Where npm installs the linter; its lock has hashes and no addresses."""


@dataclass(frozen=True, slots=True)
class NodeProgram(Program):
    """A program that `npm ci` has put into the folder."""

    def path(self) -> str | None:
        """Give where it is; None where it, or the node that runs it, is missing."""
        installed = FOLDER / "node_modules/.bin" / self.name
        return str(installed) if installed.is_file() and Program("node", "").path() else None


REDOCLY = NodeProgram("redocly", "make check gets it where there is npm: apt install nodejs npm")


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
        yield Finding(str(COMMITTED), f"the linter failed: {linted.stderr.strip()[-500:]}", "run it by hand")
    for problem in (problem for report in reports for problem in report["problems"]):
        place = problem["location"][0]
        at = f"{place['source']['ref']}{place.get('pointer', '')}"
        yield Finding(at, problem["message"], f"see the rule {problem['ruleId']}")


def _reports(output: str) -> Iterator[Any]:
    """The JSON values of the linter's output: one for each document, one after another."""
    decoder = json.JSONDecoder()
    rest = output.lstrip()
    while rest.startswith("{"):
        report, end = decoder.raw_decode(rest)
        yield report
        rest = rest[end:].lstrip()
