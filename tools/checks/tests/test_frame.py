"""`python -m checks`: running validators, and their output."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from checks.findings import Finding, merge_findings
from checks.programs import Program
from checks.validators import Outcome, Validator, run

NOWHERE = Program("no-such-program", "apt install nothing")
HERE = Path(__file__)


def complain(_root: Path) -> Iterator[Finding]:
    yield Finding("a.yaml", "it is wrong", "fix it")


class TestValidators:
    def test_findings_fail_the_check_and_contain_the_fix(self) -> None:
        outcome = run(Validator(name="a", check=complain), HERE)
        assert outcome.failed(tools_required=False)
        assert outcome.lines() == ["✗ a", "  a.yaml: it is wrong; fix it"]

    def test_prints_one_line_without_findings(self) -> None:
        outcome = run(Validator(name="a", check=lambda _root: []), HERE)
        assert not outcome.failed(tools_required=True)
        assert outcome.lines() == ["✓ a"]

    def test_missing_program_skips_the_check_but_fails_in_ci(self) -> None:
        outcome = run(Validator(name="a", check=complain, needs=[NOWHERE]), HERE)
        assert outcome.lines() == ["- a: skipped: no-such-program not found (apt install nothing)"]
        assert not outcome.failed(tools_required=False)
        assert outcome.failed(tools_required=True)


class TestMerging:
    def test_equal_findings_of_several_renderings_are_merged(self) -> None:
        seen = [Finding("a", "b", "c", seen_in=f"overlays/{name}") for name in ("kind", "prod", "kind")]
        (finding,) = merge_findings([*seen, Finding("a", "b", "c", seen_in="overlays/other")])
        assert str(finding) == "a: b; c [overlays/kind and 2 more]"

    def test_finding_of_one_rendering_names_only_that(self) -> None:
        assert [str(finding) for finding in merge_findings([Finding("a", "b", "c")])] == ["a: b; c"]


class TestCommandLine:
    def test_unknown_word_is_rejected(self) -> None:
        command = [sys.executable, "-m", "checks", "nonsense"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))  # noqa: S603
        assert done.returncode == 2
        assert "no validator's name contains nonsense" in done.stderr

    def test_exits_with_1_when_there_are_findings(self, tmp_path: Path) -> None:
        folder = tmp_path / "infra/k8s"
        (folder / "overlays/prod").mkdir(parents=True)
        (folder / "overlays/prod/kustomization.yaml").write_text("resources: [nowhere.yaml]\n")
        command = [sys.executable, "-m", "checks", "kustomize renders", "--root", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        assert done.returncode == 1
        assert done.stdout.startswith("✗ kubernetes: kustomize renders\n  infra/k8s/overlays/prod: ")

    def test_outcome_without_findings_has_not_failed(self) -> None:
        assert not Outcome(name="a").failed(tools_required=True)
