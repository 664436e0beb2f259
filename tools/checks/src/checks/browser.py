"""The browser application: types, lint, unit tests, and whether the committed assets are what the source builds."""

import filecmp
import gzip
import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from checks.findings import Finding
from checks.programs import NodeProgram
from checks.validators import Validator

SOURCE = Path("services/gateway/web")
ASSETS = Path("services/gateway/src/gateway/assets")
MAX_GZIP_BYTES = 150_000

_FOLDER = Path(__file__).resolve().parents[4] / SOURCE
_INSTALL = "make check installs it if npm is available: apt install nodejs npm"
TSC, ESLINT, VITEST, VITE = (NodeProgram(name, _INSTALL, _FOLDER) for name in ("tsc", "eslint", "vitest", "vite"))

_TYPE_ERROR = re.compile(r"^(?P<place>\S+)\((?P<line>\d+),\d+\): error (?P<code>TS\d+): (?P<text>.*)$")


def types(root: Path) -> Iterator[Finding]:
    """Find type errors."""
    checked = TSC.run("--noEmit", "--pretty", "false", cwd=root / SOURCE)
    errors = [found for line in checked.stdout.splitlines() if (found := _TYPE_ERROR.match(line))]
    for error in errors:
        yield Finding(f"{SOURCE}/{error['place']}:{error['line']}", error["text"], f"see {error['code']}")
    if checked.returncode and not errors:
        yield Finding(str(SOURCE), f"tsc failed: {_end(checked.stdout + checked.stderr)}", "run `npx tsc` there")


def lint(root: Path) -> Iterator[Finding]:
    """Find what eslint reports; warnings count as errors."""
    linted = ESLINT.run("--format", "json", ".", cwd=root / SOURCE)
    try:
        reports = json.loads(linted.stdout)
    except json.JSONDecodeError:
        yield Finding(str(SOURCE), f"eslint failed: {_end(linted.stdout + linted.stderr)}", "run `npx eslint .` there")
        return
    for report in reports:
        file = Path(report["filePath"]).resolve().relative_to((root / SOURCE).resolve())
        for message in report["messages"]:
            place = f"{SOURCE}/{file}:{message.get('line', 1)}"
            yield Finding(place, message["message"], f"see the rule {message['ruleId']}")


def unit_tests(root: Path) -> Iterator[Finding]:
    """Find unit tests that fail."""
    run = VITEST.run("run", "--reporter", "json", cwd=root / SOURCE)
    try:
        suites = json.loads(run.stdout[run.stdout.index("{") :])["testResults"]
    except ValueError:
        yield Finding(str(SOURCE), f"vitest failed: {_end(run.stdout + run.stderr)}", "run `npx vitest run` there")
        return
    failed = [suite for suite in suites if suite["status"] != "passed"]
    for suite in failed:
        file = Path(suite["name"]).resolve().relative_to((root / SOURCE).resolve())
        tests = [test for test in suite["assertionResults"] if test["status"] == "failed"]
        for test in tests:
            yield Finding(f"{SOURCE}/{file}", f"{test['fullName']}: {_first_line(*test['failureMessages'])}", "fix it")
        if not tests:
            yield Finding(f"{SOURCE}/{file}", f"could not be run: {_end(suite.get('message', ''))}", "fix it")
    if run.returncode and not failed:
        yield Finding(str(SOURCE), f"vitest failed: {_end(run.stderr)}", "run `npx vitest run` there")


def assets(root: Path) -> Iterator[Finding]:
    """Build the application, and compare it with the committed assets and the size limit."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        built = VITE.run("build", "--outDir", folder, "--logLevel", "error", cwd=root / SOURCE)
        if built.returncode:
            yield Finding(str(SOURCE), f"the build failed: {_end(built.stdout + built.stderr)}", "run `make web`")
            return
        committed = root / ASSETS
        for name in sorted(_files(fresh) | _files(committed)):
            left, right = fresh / name, committed / name
            if not (left.is_file() and right.is_file() and filecmp.cmp(left, right, shallow=False)):
                yield Finding(f"{ASSETS}/{name}", "is not what the source builds", "run `make web` and commit it")
        total = sum(len(gzip.compress((fresh / name).read_bytes(), mtime=0)) for name in _files(fresh))
        if total > MAX_GZIP_BYTES:
            yield Finding(
                str(ASSETS), f"{total:,} bytes after gzip exceed the limit of {MAX_GZIP_BYTES:,}", "make it smaller"
            )


def _files(folder: Path) -> set[Path]:
    return {file.relative_to(folder) for file in folder.rglob("*") if file.is_file()}


def _first_line(*texts: str) -> str:
    return " ".join(texts).strip().split("\n", 1)[0]


def _end(*texts: str) -> str:
    return " ".join(texts).strip()[-500:]


def check(root: Path) -> Iterator[Finding]:
    """Run all checks of the browser application."""
    for checked in (types, lint, unit_tests, assets):
        yield from checked(root)


VALIDATORS: Sequence[Validator] = (
    Validator(name="browser: types, lint, unit tests, committed assets and their size", check=check, needs=[VITE]),
)
