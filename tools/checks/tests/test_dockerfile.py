"""The Dockerfile: hadolint's rules and those of Hopline."""

from collections.abc import Callable

import pytest

from checks.containers.dockerfile import HADOLINT, check_policy, lint
from checks.programs import Program
from testkit.checkout import Checkout

Require = Callable[[Program], None]

FILE = "infra/docker/Dockerfile"


def test_repository_has_no_findings(checkout: Checkout, require: Require) -> None:
    require(HADOLINT)
    assert not [*lint(checkout.root), *check_policy(checkout.root)]


def test_finding_of_the_linter_is_reported(checkout: Checkout, require: Require) -> None:
    require(HADOLINT)
    checkout.corrupt(FILE, "WORKDIR /build", "WORKDIR build")
    assert [finding.fix for finding in lint(checkout.root)] == ["see DL3000 of hadolint"]


@pytest.mark.parametrize(
    ("right", "wrong", "expected"),
    [
        ("# Builds the image", "# syntax=docker/dockerfile:1\n# Builds the image", "a frontend directive"),
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
    assert any(expected in finding.problem for finding in check_policy(checkout.root))


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
    assert any(expected in finding.problem for finding in check_policy(checkout.root))


@pytest.mark.parametrize(
    ("right", "wrong", "expected"),
    [
        ("*\n!req", "!req", "it does not begin with `*`"),
        ("!shared/src", "!shared/src\n!.env", "!.env includes files that must not be in an image"),
        ("!services/orders/src", "!services/*/src", "!services/*/src includes nothing without BuildKit"),
        ("!services/orders/src", "!**/orders/src", "!**/orders/src includes nothing without BuildKit"),
    ],
)
def test_mistake_in_dockerignore_is_found(checkout: Checkout, right: str, wrong: str, expected: str) -> None:
    checkout.corrupt(".dockerignore", right, wrong)
    [finding] = check_policy(checkout.root)
    assert (finding.place, finding.problem) == (".dockerignore", expected)
