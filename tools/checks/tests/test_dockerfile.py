"""The Dockerfile: hadolint's rules and ours."""

from collections.abc import Callable

import pytest

from checks.containers.dockerfile import HADOLINT, lint, policy
from checks.programs import Program
from testkit.checkout import Checkout

Has = Callable[[Program], None]

FILE = "infra/docker/Dockerfile"


def test_repository_has_no_findings(checkout: Checkout, has: Has) -> None:
    has(HADOLINT)
    assert not [*lint(checkout.root), *policy(checkout.root)]


def test_finding_of_the_linter_is_reported(checkout: Checkout, has: Has) -> None:
    has(HADOLINT)
    checkout.corrupt(FILE, "WORKDIR /build", "WORKDIR build")
    assert [finding.fix for finding in lint(checkout.root)] == ["see DL3000 of hadolint"]


@pytest.mark.parametrize(
    ("right", "wrong", "expected"),
    [
        ("# Builds one image", "# syntax=docker/dockerfile:1\n# Builds one image", "a frontend directive"),
        ("COPY shared shared", "COPY --link shared shared", "COPY --link"),
        ("COPY shared shared", "copy \\\n --link shared shared", "COPY --link"),
        ("COPY shared shared", "ADD shared shared", "ADD unpacks"),
        ("--start-period=40s", "--start-period=40s --start-interval=1s", "--start-interval"),
        ('["/bin/sh", "-c", "exec python -m shared.commands.probe $PROBE"]', "curl localhost", "curl"),
        ("-qq --no-install-recommends binutils", "-qq \\\n    curl binutils", "curl"),
        ("\n\nFROM ${PYTHON_IMAGE}\n", "\n\nFROM debian:12\n", "its base images are"),
        ("USER 10001:10001", "USER hopline", "it runs as hopline"),
        ("USER 10001:10001", "USER 0:0", "it runs as 0:0"),
        ('CMD ["/bin/sh", "-c", "exec $START"]', "CMD exec $START", "CMD is missing or runs in a shell"),
        ("HEALTHCHECK", "# HEALTHCHECK", "HEALTHCHECK is missing"),
        ("org.opencontainers.image.source", "source", "does not name its source"),
    ],
)
def test_mistake_is_found(checkout: Checkout, right: str, wrong: str, expected: str) -> None:
    checkout.corrupt(FILE, right, wrong)
    assert any(expected in finding.wrong for finding in policy(checkout.root))


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("--require-hashes", "without their hashes"),
        ("--compile-bytecode", "compiles the packages"),
        ("compileall", "compiles the standard library"),
        ("--strip-debug", "debug symbols"),
    ],
)
def test_missing_option_is_found(checkout: Checkout, option: str, expected: str) -> None:
    text = (checkout.root / FILE).read_text()
    checkout.write(FILE, text.replace(option, ""))
    assert any(expected in finding.wrong for finding in policy(checkout.root))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("*\n!req", "!req"),
        ("!shared/src", "!shared/src\n!.env"),
        ("!services/orders/src", "!services/*/src"),
        ("!services/orders/src", "!**/orders/src"),
    ],
)
def test_wrong_build_context_is_found(checkout: Checkout, right: str, wrong: str) -> None:
    checkout.corrupt(".dockerignore", right, wrong)
    assert [finding.place for finding in policy(checkout.root)] == [".dockerignore"]
