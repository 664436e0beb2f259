"""GitHub's workflows: each mistake against the schemas, the policy or zizmor's audits is found."""

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from checks.json_schemas import CHECK_JSONSCHEMA
from checks.programs import Program
from checks.workflows import ZIZMOR, audit, check_action_inputs, check_policy, check_schemas
from testkit.checkout import Checkout

Require = Callable[[Program], None]

CI = ".github/workflows/ci.yml"
CHAOS = ".github/workflows/chaos.yml"
RELEASE = ".github/workflows/release.yml"
DEPENDABOT = ".github/dependabot.yml"
CHECKOUT_COMMIT = "3d3c42e5aac5ba805825da76410c181273ba90b1"
"""The commit of actions/checkout that the workflows use."""


@pytest.fixture
def checkout(root: Path, tmp_path: Path) -> Checkout:
    return Checkout.of(root, [".github"], into=tmp_path)


def test_repository_has_no_findings(checkout: Checkout, require: Require) -> None:
    require(CHECK_JSONSCHEMA)
    require(ZIZMOR)
    assert not [
        *check_schemas(checkout.root),
        *check_policy(checkout.root),
        *check_action_inputs(checkout.root),
        *audit(checkout.root),
    ]


@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        (CI, "runs-on: ubuntu-24.04", "run-on: ubuntu-24.04"),
        (CI, "jobs:", "jobs: ]"),
        (DEPENDABOT, "package-ecosystem: docker-compose", "package-ecosystem: compose"),
        (DEPENDABOT, "interval: weekly", "interval: sometimes"),
    ],
)
def test_file_is_found_when_github_would_reject_it(
    checkout: Checkout, require: Require, file: str, right: str, wrong: str
) -> None:
    require(CHECK_JSONSCHEMA)
    checkout.corrupt(file, right, wrong)
    assert {finding.place for finding in check_schemas(checkout.root)} == {file}


@pytest.mark.parametrize(
    ("right", "wrong", "expected"),
    [
        ("permissions: {}", "permissions: read-all", "default permissions"),
        ("permissions: {}\n", "", "default permissions"),
        ("    permissions:\n      contents: read\n", "", "its token has default permissions"),
        (
            "    permissions:\n      contents: read\n",
            "    permissions: write-all\n",
            "its token has default permissions",
        ),
        ("    timeout-minutes: 15\n", "", "run for six hours"),
        ("concurrency:", "x-concurrency:", "two runs may run at the same time"),
        ("persist-credentials: false", "persist-credentials: true", "leaves the token on disk"),
        ("persist-credentials: false", "fetch-depth: 1", "leaves the token on disk"),
        ("run: make demo", 'run: echo "${{ github.head_ref }}"', "part of a script"),
    ],
)
def test_violation_of_the_policy_is_found(checkout: Checkout, right: str, wrong: str, expected: str) -> None:
    checkout.corrupt(CI, right, wrong)
    [finding] = check_policy(checkout.root)
    assert expected in finding.problem


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('  schedule:\n    - cron: "43 2 * * *"\n', ""),
        ('"43 2 * * *"', '"43 2 * * 1"'),
        ('"43 2 * * *"', '"43 2 1 * *"'),
        ("make chaos | tee", "make test | tee"),
    ],
)
def test_chaos_is_found_when_it_does_not_run_every_day(checkout: Checkout, right: str, wrong: str) -> None:
    checkout.corrupt(CHAOS, right, wrong)
    assert [finding.problem for finding in check_policy(checkout.root)] == ["no workflow runs make chaos every day"]


@pytest.mark.parametrize(
    ("right", "wrong", "expected"),
    [
        ("install_only: true", "install-only: true", "helm/kind-action has no input install-only"),
        ("# v1.14.0", "# v2.0.0", "helm/kind-action are those of v1.14.0, not of v2.0.0"),
        (" # v1.14.0", "", "the version of helm/kind-action is missing"),
        ("# v1.14.0", "# newest", "the version of helm/kind-action is missing"),
        ("helm/kind-action@", "helm/kind-actions@", "the inputs of helm/kind-actions are unknown"),
    ],
)
def test_unknown_input_of_an_action_is_found(checkout: Checkout, right: str, wrong: str, expected: str) -> None:
    checkout.corrupt(CI, right, wrong)
    [finding] = check_action_inputs(checkout.root)
    assert expected in finding.problem


@pytest.mark.parametrize("comment", ["", " # v1.14.0"])
def test_version_of_a_step_in_flow_style_is_read(checkout: Checkout, comment: str) -> None:
    checkout.corrupt(CI, "      - run: make demo\n", f"      - {{ 'uses': helm/kind-action@{'a' * 40} }}{comment}\n")
    assert bool(list(check_action_inputs(checkout.root))) == (not comment)


@pytest.mark.parametrize("quote", ['"', "'"])
def test_action_in_quotes_is_accepted(checkout: Checkout, quote: str) -> None:
    action = f"actions/checkout@{CHECKOUT_COMMIT}"
    checkout.corrupt(CI, action, f"{quote}{action}{quote}")
    assert not list(check_action_inputs(checkout.root))


def test_inputs_of_an_action_of_the_repository_are_not_checked(checkout: Checkout) -> None:
    checkout.corrupt(
        CI, "      - run: make demo\n", "      - uses: ./.github/actions/demo\n        with: {mode: any}\n"
    )
    assert not list(check_action_inputs(checkout.root))


@pytest.mark.parametrize(
    ("right", "wrong", "rule"),
    [
        (f"@{CHECKOUT_COMMIT}", "@v7", "unpinned-uses"),
        (f"@{CHECKOUT_COMMIT}", f"@{CHECKOUT_COMMIT[:7]}", "unpinned-uses"),
        ("run: make demo", 'run: echo "${{ github.head_ref }}"', "template-injection"),
        ("persist-credentials: false", "fetch-depth: 1", "artipacked"),
        ("    permissions:\n      contents: read\n", "    permissions: write-all\n", "excessive-permissions"),
        ("pull_request:", "pull_request_target:", "dangerous-triggers"),
    ],
)
def test_finding_of_zizmor_is_reported(checkout: Checkout, require: Require, right: str, wrong: str, rule: str) -> None:
    require(ZIZMOR)
    checkout.corrupt(CI, right, wrong)
    assert {finding.fix for finding in audit(checkout.root)} == {f"see {rule} of zizmor"}


def test_failure_of_zizmor_is_found(checkout: Checkout, require: Require) -> None:
    require(ZIZMOR)
    for file in (checkout.root / ".github").rglob("*.yml"):
        file.write_text("jobs: ]", encoding="utf-8")
    assert [finding.place for finding in audit(checkout.root)] == [".github"]


def test_every_image_that_is_built_is_scanned_and_published(root: Path) -> None:
    jobs = yaml.safe_load((root / RELEASE).read_text(encoding="utf-8"))["jobs"]
    script = (root / "infra/k8s/pin-images.sh").read_text(encoding="utf-8")
    pinned = re.search(r"^processes=\((.*)\)$", script, re.MULTILINE)
    assert pinned
    for job in ("scan", "publish"):
        assert jobs[job]["strategy"]["matrix"]["image"] == pinned[1].split()


def test_delivery_requires_tests_and_scans(root: Path) -> None:
    """Each job of the pipeline depends on the job before it, and jobs that change a cluster are protected."""
    workflow = yaml.safe_load((root / RELEASE).read_text(encoding="utf-8"))
    jobs = workflow["jobs"]
    assert jobs["ci"]["uses"] == "./.github/workflows/ci.yml"
    order = ["ci", "images", "scan", "publish", "release", "deploy"]
    assert list(jobs) == order
    for before, after in pairwise(order):
        needs = jobs[after]["needs"]
        assert before in ([needs] if isinstance(needs, str) else needs)
    assert "needs.publish.result == 'success'" in jobs["deploy"]["if"]
    assert jobs["release"]["environment"] == "production"
    assert "'production' || 'staging'" in jobs["deploy"]["environment"]
    [script] = [step["run"] for step in jobs["deploy"]["steps"] if "deploy.sh" in step.get("run", "")]
    assert 0 <= script.find("pin-images.sh") < script.find("deploy.sh")


def test_tests_of_a_release_continue_when_the_next_commit_is_pushed(root: Path) -> None:
    """release.yml calls ci.yml, whose group would be the same for all commits of a branch if it named the branch."""
    concurrency = yaml.safe_load((root / CI).read_text(encoding="utf-8"))["concurrency"]
    assert concurrency["group"] == "ci-${{ github.event.pull_request.number || github.sha }}"


def test_released_manifests_are_those_of_the_tag_when_the_branch_is_ahead(root: Path) -> None:
    job = yaml.safe_load((root / RELEASE).read_text(encoding="utf-8"))["jobs"]["release"]
    checkouts = [step["with"] for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
    [folder] = [options["path"] for options in checkouts if "ref" in options]
    [render] = [step for step in job["steps"] if "kubectl kustomize" in step.get("run", "")]
    [commit] = [step for step in job["steps"] if "git push" in step.get("run", "")]
    assert "working-directory" not in render
    assert commit["working-directory"] == folder
