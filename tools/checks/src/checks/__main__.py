"""`python -m checks [WORD…]`: run every validator, or those whose name has one of the words in it."""

import argparse
import os
import sys
from pathlib import Path

from checks.catalog import VALIDATORS
from checks.validators import run

ROOT = Path(__file__).resolve().parents[4]


def main() -> int:
    """Print what was found; 1 where something is wrong, or where CI=true and a program is missing."""
    parser = argparse.ArgumentParser(prog="python -m checks", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD", help="only validators with this in their name")
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository to look at")
    arguments = parser.parse_args()
    chosen = [one for one in VALIDATORS if not arguments.words or any(word in one.name for word in arguments.words)]
    if not chosen:
        parser.error(f"no validator has {' or '.join(arguments.words)} in its name")
    tools_required = os.environ.get("CI") == "true"
    failed = False
    for validator in chosen:
        outcome = run(validator, arguments.root)
        failed |= outcome.failed(tools_required=tools_required)
        print(*outcome.lines(), sep="\n", flush=True)  # noqa: T201 - a command line prints
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
