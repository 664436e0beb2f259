"""`python -m checks.openapi`: renew the committed documents, unless clients would lose by it (`make openapi`)."""

import json
import sys

from checks.__main__ import ROOT
from checks.openapi.documents import COMMITTED, FROZEN, compare, described


def main() -> int:
    """Write what changed without a loss; 1 where there is a loss, which is shown."""
    failed = False
    for version, now in described().items():
        file = ROOT / COMMITTED / f"{version}.json"
        committed = json.loads(file.read_bytes()) if file.exists() else now
        refused = [finding for finding in compare(version, committed, now) if finding.mend != "make openapi"]
        failed |= bool(refused)
        for finding in refused:
            print(finding)  # noqa: T201 - a command line prints
        if not refused and (version != FROZEN or not file.exists()):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(now, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
