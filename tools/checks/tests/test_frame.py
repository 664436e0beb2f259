"""`python -m checks`: how validators are run and what a person sees."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from checks.findings import Finding, merged
from checks.programs import Program
from checks.validators import Outcome, Validator, run

NOWHERE = Program("no-such-program", "apt install nothing")
HERE = Path(__file__)


def complain(_root: Path) -> Iterator[Finding]:
    yield Finding("a.yaml", "it is wrong", "mend it")


class TestValidators:
    def test_findings_fail_the_check_and_say_how_to_mend(self) -> None:
        outcome = run(Validator(name="a", check=complain), HERE)
        assert outcome.failed(tools_required=False)
        assert outcome.lines() == ["✗ a", "  a.yaml: it is wrong; mend it"]

    def test_nothing_found_is_one_line(self) -> None:
        outcome = run(Validator(name="a", check=lambda _root: []), HERE)
        assert not outcome.failed(tools_required=True)
        assert outcome.lines() == ["✓ a"]

    def test_a_missing_program_skips_here_and_fails_in_ci(self) -> None:
        outcome = run(Validator(name="a", check=complain, needs=[NOWHERE]), HERE)
        assert outcome.lines() == ["- a: skipped: no-such-program not found (apt install nothing)"]
        assert not outcome.failed(tools_required=False)
        assert outcome.failed(tools_required=True)


class TestMerging:
    def test_what_several_renderings_have_in_common_is_said_once(self) -> None:
        seen = [Finding("a", "b", "c", seen_in=f"overlays/{name}") for name in ("kind", "prod", "kind")]
        (finding,) = merged([*seen, Finding("a", "b", "c", seen_in="overlays/other")])
        assert str(finding) == "a: b; c [overlays/kind and 2 more]"

    def test_one_place_is_named_alone(self) -> None:
        assert [str(each) for each in merged([Finding("a", "b", "c")])] == ["a: b; c"]


class TestCommandLine:
    def test_an_unknown_word_is_refused(self) -> None:
        command = [sys.executable, "-m", "checks", "nonsense"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))  # noqa: S603
        assert done.returncode == 2
        assert "no validator has nonsense in its name" in done.stderr

    def test_mistakes_end_it_with_1(self, tmp_path: Path) -> None:
        folder = tmp_path / "infra/k8s"
        (folder / "overlays/prod").mkdir(parents=True)
        (folder / "overlays/prod/kustomization.yaml").write_text("resources: [nowhere.yaml]\n")
        command = [sys.executable, "-m", "checks", "kustomize renders", "--root", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        assert done.returncode == 1
        assert done.stdout.startswith("✗ kubernetes: kustomize renders\n  infra/k8s/overlays/prod: ")

    def test_an_outcome_without_findings_is_sound(self) -> None:
        assert not Outcome(name="a").failed(tools_required=True)
