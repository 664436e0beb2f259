"""`python -m checks.openapi`: update version 2's documents if the change is compatible (`make openapi`)."""

import json
import sys
from pathlib import Path

from checks.__main__ import ROOT
from checks.openapi.documents import (
    COMMITTED,
    GROWING,
    SERVED,
    render_current_document,
    report_incompatible_changes,
    report_missing,
)


def main(root: Path = ROOT) -> int:
    """Write the composed document if it is compatible with the committed one; otherwise print why not and return 1."""
    file, text = f"{GROWING}.json", render_current_document()
    committed = root / COMMITTED / file
    if committed.exists():
        rejected = list(report_incompatible_changes(json.loads(committed.read_bytes()), json.loads(text)))
    else:
        rejected = [report_missing(COMMITTED / file)]
    for finding in rejected:
        print(finding)  # noqa: T201 - a command line prints
    if not rejected:
        for folder in (COMMITTED, SERVED):
            (root / folder / file).write_text(text, encoding="utf-8")
    return int(bool(rejected))


if __name__ == "__main__":
    sys.exit(main())
