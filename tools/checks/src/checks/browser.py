"""Checks the browser application: types, lint, unit tests, and that the committed assets are those of the source."""

import filecmp
import gzip
import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from checks.findings import Finding
from checks.programs import NodeProgram, end_of_output
from checks.validators import Validator

SOURCE = Path("services/gateway/web")
ASSETS = Path("services/gateway/src/gateway/assets")
MAX_GZIP_BYTES = 150_000
"""Maximum size of all assets together after gzip (docs/adr/0035-browser-application.md)."""

_FOLDER = Path(__file__).resolve().parents[4] / SOURCE
_INSTALL = "make check installs it if npm is available: apt install nodejs npm"
TSC, ESLINT, VITEST, VITE = (NodeProgram(name, _INSTALL, _FOLDER) for name in ("tsc", "eslint", "vitest", "vite"))

_TYPE_ERROR = re.compile(r"^(?P<place>\S+)\((?P<line>\d+),\d+\): error (?P<code>TS\d+): (?P<text>.*)$")


def check_types(root: Path) -> Iterator[Finding]:
    """Find type errors."""
    checked = TSC.run("--noEmit", "--pretty", "false", cwd=root / SOURCE)
    errors = [found for line in checked.stdout.splitlines() if (found := _TYPE_ERROR.match(line))]
    for error in errors:
        yield Finding(f"{SOURCE}/{error['place']}:{error['line']}", error["text"], f"see {error['code']}")
    if checked.returncode and not errors:
        yield Finding(
            str(SOURCE),
            f"tsc failed: {end_of_output(checked.stdout + checked.stderr)}",
            f"run `npx tsc --noEmit` in {SOURCE}",
        )


def check_lint(root: Path) -> Iterator[Finding]:
    """Find errors and warnings of eslint."""
    linted = ESLINT.run("--format", "json", ".", cwd=root / SOURCE)
    try:
        reports = json.loads(linted.stdout)
    except json.JSONDecodeError:
        yield Finding(
            str(SOURCE),
            f"eslint failed: {end_of_output(linted.stdout + linted.stderr)}",
            f"run `npx eslint .` in {SOURCE}",
        )
        return
    for report in reports:
        file = Path(report["filePath"]).resolve().relative_to((root / SOURCE).resolve())
        for message in report["messages"]:
            place = f"{SOURCE}/{file}:{message.get('line', 1)}"
            yield Finding(place, message["message"], f"see the rule {message['ruleId']}")


def check_unit_tests(root: Path) -> Iterator[Finding]:
    """Find unit tests that fail."""
    run = VITEST.run("run", "--reporter", "json", cwd=root / SOURCE)
    try:
        suites = json.loads(run.stdout[run.stdout.index("{") :])["testResults"]
    except ValueError:
        yield Finding(
            str(SOURCE), f"vitest failed: {end_of_output(run.stdout + run.stderr)}", f"run `npx vitest run` in {SOURCE}"
        )
        return
    failed = [suite for suite in suites if suite["status"] != "passed"]
    for suite in failed:
        file = Path(suite["name"]).resolve().relative_to((root / SOURCE).resolve())
        tests = [test for test in suite["assertionResults"] if test["status"] == "failed"]
        for test in tests:
            yield Finding(
                f"{SOURCE}/{file}", f"{test['fullName']}: {_first_line(*test['failureMessages'])}", "correct it"
            )
        if not tests:
            yield Finding(
                f"{SOURCE}/{file}", f"could not be run: {end_of_output(suite.get('message', ''))}", "correct it"
            )
    if run.returncode and not failed:
        yield Finding(str(SOURCE), f"vitest failed: {end_of_output(run.stderr)}", f"run `npx vitest run` in {SOURCE}")


def check_assets(root: Path) -> Iterator[Finding]:
    """Build the application, and compare it with the committed assets and the size limit."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        built = VITE.run("build", "--outDir", folder, "--logLevel", "error", cwd=root / SOURCE)
        if built.returncode:
            yield Finding(
                str(SOURCE), f"the build failed: {end_of_output(built.stdout + built.stderr)}", "run `make web`"
            )
            return
        committed = root / ASSETS
        for name in sorted(_files(fresh) | _files(committed)):
            left, right = fresh / name, committed / name
            if not (left.is_file() and right.is_file() and filecmp.cmp(left, right, shallow=False)):
                yield Finding(
                    f"{ASSETS}/{name}", "differs from the file that the source builds", "run `make web` and commit it"
                )
        total = sum(len(gzip.compress((fresh / name).read_bytes(), mtime=0)) for name in _files(fresh))
        if total > MAX_GZIP_BYTES:
            yield Finding(
                str(ASSETS),
                f"{total:,} bytes after gzip exceed the limit of {MAX_GZIP_BYTES:,}",
                "remove code or dependencies",
            )


def _files(folder: Path) -> set[Path]:
    return {file.relative_to(folder) for file in folder.rglob("*") if file.is_file()}


def _first_line(*texts: str) -> str:
    return " ".join(texts).strip().split("\n", 1)[0]


def check(root: Path) -> Iterator[Finding]:
    """Run all checks of the browser application."""
    for part in (check_types, check_lint, check_unit_tests, check_assets):
        yield from part(root)


VALIDATORS: Sequence[Validator] = (
    Validator(name="browser: types, lint, unit tests, committed assets and their size", check=check, needs=[VITE]),
)
