"""`python -m checks [WORD…]`: run all validators, or those whose name contains one of the words."""

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from checks.catalog import VALIDATORS
from checks.validators import run

ROOT = Path(__file__).resolve().parents[4]
CONCURRENT_VALIDATORS = 2
"""Most validators wait for another program, so two of them use two cores."""


def main() -> int:
    """Print the findings. Return 1 if there are any, or if a program is missing and CI=true."""
    parser = argparse.ArgumentParser(prog="python -m checks", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD", help="run only validators whose name contains this word")
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository to check")
    arguments = parser.parse_args()
    chosen = [
        validator
        for validator in VALIDATORS
        if not arguments.words or any(word in validator.name for word in arguments.words)
    ]
    if not chosen:
        words = " or ".join(arguments.words)
        parser.error(f"no validator's name contains {words}: `python -m checks` prints all names")
    programs_required = os.environ.get("CI") == "true"
    failed = False
    with ThreadPoolExecutor(CONCURRENT_VALIDATORS) as executor:
        for outcome in executor.map(partial(run, root=arguments.root), chosen):
            failed |= outcome.failed(programs_required=programs_required)
            print(*outcome.lines(), sep="\n", flush=True)  # noqa: T201 - a command line prints
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
