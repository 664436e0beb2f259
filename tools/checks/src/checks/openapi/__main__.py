"""`python -m checks.openapi`: update version 2's documents if the change is compatible (`make openapi`)."""

import json
import sys

from checks.__main__ import ROOT
from checks.openapi.documents import COMMITTED, GROWING, SERVED, render_current_document, report_incompatible_changes


def main() -> int:
    """Write the composed document if it is compatible; otherwise print the incompatible changes and return 1."""
    file, text = f"{GROWING}.json", render_current_document()
    committed = json.loads((ROOT / COMMITTED / file).read_bytes())
    rejected = list(report_incompatible_changes(committed, json.loads(text)))
    for finding in rejected:
        print(finding)  # noqa: T201 - a command line prints
    if not rejected:
        for folder in (COMMITTED, SERVED):
            (ROOT / folder / file).write_text(text, encoding="utf-8")
    return int(bool(rejected))


if __name__ == "__main__":
    sys.exit(main())
