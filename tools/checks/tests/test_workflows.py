"""GitHub's workflows: each mistake against the schemas, the policy or zizmor's audits is found."""

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from checks.programs import Program
from checks.workflows import CHECK_JSONSCHEMA, ZIZMOR, audit, inputs, policy, schema
from testkit.checkout import Checkout

Has = Callable[[Program], None]

CI = ".github/workflows/ci.yml"
CHAOS = ".github/workflows/chaos.yml"
RELEASE = ".github/workflows/release.yml"
DEPENDABOT = ".github/dependabot.yml"


@pytest.fixture
def checkout(root: Path, tmp_path: Path) -> Checkout:
    return Checkout.of(root, [".github"], into=tmp_path)


def test_repository_has_no_findings(checkout: Checkout, has: Has) -> None:
    has(CHECK_JSONSCHEMA)
    has(ZIZMOR)
    assert not [*schema(checkout.root), *policy(checkout.root), *inputs(checkout.root), *audit(checkout.root)]


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
    checkout: Checkout, has: Has, file: str, right: str, wrong: str
) -> None:
    has(CHECK_JSONSCHEMA)
    checkout.corrupt(file, right, wrong)
    assert {finding.place for finding in schema(checkout.root)} == {file}


@pytest.mark.parametrize(
    ("right", "wrong", "expected"),
    [
        ("@3d3c42e5aac5ba805825da76410c181273ba90b1", "@v7", "actions/checkout@v7 is not pinned"),
        ("@3d3c42e5aac5ba805825da76410c181273ba90b1", "@3d3c42e", "is not pinned"),
        ("90b1 # v7.0.1", "90b1", "version of this commit is missing"),
        ("90b1 # v7.0.1", "90b1 # newest", "version of this commit is missing"),
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
        ("pull_request:", "pull_request_target:", "untrusted changes our token"),
        ("persist-credentials: false", "persist-credentials: true", "leaves the token on disk"),
        ("persist-credentials: false", "fetch-depth: 1", "leaves the token on disk"),
        ("run: make demo", 'run: echo "${{ github.head_ref }}"', "part of a script"),
    ],
)
def test_mistake_is_found(checkout: Checkout, right: str, wrong: str, expected: str) -> None:
    checkout.corrupt(CI, right, wrong)
    assert [expected in finding.wrong for finding in policy(checkout.root)] == [True]


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
    assert [finding.wrong for finding in policy(checkout.root)] == ["no workflow runs make chaos every day"]


@pytest.mark.parametrize(
    ("right", "wrong", "expected"),
    [
        ("install_only: true", "install-only: true", "helm/kind-action has no input install-only"),
        ("# v1.14.0", "# v2.0.0", "helm/kind-action are those of v1.14.0, not of v2.0.0"),
        ("helm/kind-action@", "helm/kind-actions@", "the inputs of helm/kind-actions are unknown"),
    ],
)
def test_unknown_input_of_an_action_is_found(checkout: Checkout, right: str, wrong: str, expected: str) -> None:
    checkout.corrupt(CI, right, wrong)
    assert [expected in finding.wrong for finding in inputs(checkout.root)] == [True]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("{ uses: actions/cache@v5 }", ["actions/cache@v5 is not pinned"]),
        ("{ name: cache, 'uses': actions/cache@v5 } # v5.0.0", ["actions/cache@v5 is not pinned"]),
        (f"{{ uses: actions/cache@{'a' * 40} }}", ["the version of this commit is missing"]),
        (f"{{ uses: actions/cache@{'a' * 40} }} # v5.0.0", []),
        ("{ uses: ./.github/actions/cache }", []),
    ],
)
def test_pin_of_a_step_in_flow_style_is_checked(checkout: Checkout, step: str, expected: list[str]) -> None:
    checkout.corrupt(CI, "      - run: make demo\n", f"      - {step}\n")
    assert [finding.wrong for finding in policy(checkout.root)] == expected


@pytest.mark.parametrize("quote", ['"', "'"])
def test_action_in_quotes_is_accepted(checkout: Checkout, quote: str) -> None:
    action = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1"
    checkout.corrupt(CI, action, f"{quote}{action}{quote}")
    assert not [*policy(checkout.root), *inputs(checkout.root)]


def test_inputs_of_an_action_of_the_repository_are_not_checked(checkout: Checkout) -> None:
    checkout.corrupt(
        CI, "      - run: make demo\n", "      - uses: ./.github/actions/demo\n        with: {mode: any}\n"
    )
    assert not list(inputs(checkout.root))


@pytest.mark.parametrize("triggers", ["pull_request_target", "[push, pull_request_target]"])
def test_trigger_is_found_in_every_syntax(checkout: Checkout, triggers: str) -> None:
    text = (checkout.root / CI).read_text(encoding="utf-8")
    checkout.write(CI, re.sub(r"(?s)\non:\n.*?\n\n", f"\non: {triggers}\n\n", text, count=1))
    assert ["untrusted" in finding.wrong for finding in policy(checkout.root)] == [True]


@pytest.mark.parametrize(
    ("right", "wrong", "rule"),
    [
        ("run: make demo", 'run: echo "${{ github.head_ref }}"', "template-injection"),
        ("persist-credentials: false", "fetch-depth: 1", "artipacked"),
        ("    permissions:\n      contents: read\n", "    permissions: write-all\n", "excessive-permissions"),
        ("pull_request:", "pull_request_target:", "dangerous-triggers"),
    ],
)
def test_finding_of_zizmor_is_reported(checkout: Checkout, has: Has, right: str, wrong: str, rule: str) -> None:
    has(ZIZMOR)
    checkout.corrupt(CI, right, wrong)
    assert {finding.fix for finding in audit(checkout.root)} == {f"see {rule} of zizmor"}


def test_failed_zizmor_is_a_finding(checkout: Checkout, has: Has) -> None:
    has(ZIZMOR)
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
