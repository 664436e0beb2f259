"""`python -m checks.openapi`: renew version 2's documents, unless clients would lose by it (`make openapi`)."""

import json
import sys

from checks.__main__ import ROOT
from checks.openapi.documents import COMMITTED, GROWING, SERVED, compare, composed


def main() -> int:
    """Write the composed document if nothing is lost; 1 with the losses printed."""
    file, text = f"{GROWING}.json", composed()
    committed = json.loads((ROOT / COMMITTED / file).read_bytes())
    refused = [finding for finding in compare(GROWING, committed, json.loads(text)) if finding.mend != "make openapi"]
    for finding in refused:
        print(finding)  # noqa: T201 - a command line prints
    if not refused:
        for folder in (COMMITTED, SERVED):
            (ROOT / folder / file).write_text(text, encoding="utf-8")
    return int(bool(refused))


if __name__ == "__main__":
    sys.exit(main())
