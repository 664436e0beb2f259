"""The Dockerfile's lint and our rules beyond it."""

from collections.abc import Callable

import pytest

from checks.containers.dockerfile import HADOLINT, lint, policy
from checks.programs import Program
from testkit.checkout import Checkout

Has = Callable[[Program], None]

FILE = "infra/docker/Dockerfile"


def test_ours_is_clean(checkout: Checkout, has: Has) -> None:
    has(HADOLINT)
    assert not [*lint(checkout.root), *policy(checkout.root)]


def test_the_linter_is_asked(checkout: Checkout, has: Has) -> None:
    has(HADOLINT)
    checkout.spoil(FILE, "WORKDIR /build", "WORKDIR build")
    assert [finding.mend for finding in lint(checkout.root)] == ["see DL3000 of hadolint"]


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("# One image", "# syntax=docker/dockerfile:1\n# One image", "a frontend directive"),
        ("COPY shared shared", "COPY --link shared shared", "COPY --link"),
        ("COPY shared shared", "ADD shared shared", "ADD unpacks"),
        ("--start-period=40s", "--start-period=40s --start-interval=1s", "--start-interval"),
        ('["/bin/sh", "-c", "exec python -m shared.probe $PROBE"]', "curl localhost", "curl"),
        ("\n\nFROM ${PYTHON_IMAGE}\n", "\n\nFROM debian:12\n", "it stands on"),
        ("USER 10001:10001", "USER hopline", "it runs as hopline"),
        ("USER 10001:10001", "USER 0:0", "it runs as 0:0"),
        ('CMD ["/bin/sh", "-c", "exec $START"]', "CMD exec $START", "CMD is missing or runs in a shell"),
        ("HEALTHCHECK", "# HEALTHCHECK", "HEALTHCHECK is missing"),
        ("org.opencontainers.image.source", "source", "where it comes from"),
    ],
)
def test_a_planted_mistake_is_found(checkout: Checkout, right: str, wrong: str, said: str) -> None:
    checkout.spoil(FILE, right, wrong)
    assert any(said in finding.wrong for finding in policy(checkout.root))


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--require-hashes", "without their hashes"),
        ("--compile-bytecode", "compiles the packages"),
        ("compileall", "compiles the standard library"),
        ("--strip-debug", "symbols for debuggers"),
    ],
)
def test_what_is_left_out_is_found(checkout: Checkout, option: str, said: str) -> None:
    text = (checkout.root / FILE).read_text()
    checkout.write(FILE, text.replace(option, ""))
    assert any(said in finding.wrong for finding in policy(checkout.root))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("*\n!req", "!req"),
        ("!shared/src", "!shared/src\n!.env"),
        ("!services/orders/src", "!services/*/src"),
        ("!services/orders/src", "!**/orders/src"),
    ],
)
def test_a_context_that_is_open_or_lacks_something_is_found(checkout: Checkout, right: str, wrong: str) -> None:
    checkout.spoil(".dockerignore", right, wrong)
    assert [finding.place for finding in policy(checkout.root)] == [".dockerignore"]
