"""`python -m checks`: running validators, and their output."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from checks.findings import Finding, merge_findings
from checks.programs import Program
from checks.validators import Validator, run

MISSING_PROGRAM = Program("no-such-program", "apt install nothing")
ROOT = Path("repository")
"""The validators of these tests do not read it."""


def report_one_finding(_root: Path) -> Iterator[Finding]:
    yield Finding("a.yaml", "it is wrong", "fix it")


class TestRun:
    def test_findings_fail_the_check_and_are_printed_with_their_fix(self) -> None:
        outcome = run(Validator(name="a", check=report_one_finding), ROOT)
        assert outcome.failed(programs_required=False)
        assert outcome.lines() == ["✗ a", "  a.yaml: it is wrong; fix it"]

    def test_one_line_is_printed_when_there_are_no_findings(self) -> None:
        outcome = run(Validator(name="a", check=lambda _root: []), ROOT)
        assert not outcome.failed(programs_required=True)
        assert outcome.lines() == ["✓ a"]

    def test_validator_is_skipped_when_a_program_is_missing_and_fails_when_programs_are_required(self) -> None:
        outcome = run(Validator(name="a", check=report_one_finding, needs=[MISSING_PROGRAM]), ROOT)
        assert outcome.lines() == ["- a: skipped: no-such-program not found (apt install nothing)"]
        assert not outcome.failed(programs_required=False)
        assert outcome.failed(programs_required=True)


class TestMergeFindings:
    def test_equal_findings_of_several_renderings_are_merged(self) -> None:
        overlays = ("kind", "prod", "kind", "other")
        findings = [Finding("a", "b", "c", seen_in=f"overlays/{name}") for name in overlays]
        (merged,) = merge_findings(findings)
        assert str(merged) == "a: b; c [overlays/kind and 2 more]"

    @pytest.mark.parametrize(
        ("seen_in", "expected"),
        [("", "a: b; c"), ("overlays/kind", "a: b; c [overlays/kind]")],
        ids=["not rendered", "one rendering"],
    )
    def test_finding_names_its_rendering_when_its_file_is_rendered(self, seen_in: str, expected: str) -> None:
        findings = merge_findings([Finding("a", "b", "c", seen_in=seen_in)])
        assert [str(finding) for finding in findings] == [expected]


class TestCommandLine:
    def test_unknown_word_is_rejected(self) -> None:
        command = [sys.executable, "-m", "checks", "nonsense"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))  # noqa: S603
        assert done.returncode == 2
        assert "no validator's name contains nonsense: `python -m checks` prints all names" in done.stderr

    def test_exits_with_1_when_there_are_findings(self, tmp_path: Path) -> None:
        """The folder has no `.env.example`, and this validator needs no program."""
        command = [sys.executable, "-m", "checks", ".env.example", "--root", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        assert done.returncode == 1
        assert done.stdout.startswith("✗ files: .env.example, docs/settings.md\n  .env.example: differs from ")
