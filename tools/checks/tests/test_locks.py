"""Locks of images, compared with the dependencies of packages and with the tested versions."""

from pathlib import Path

import pytest

from checks.containers.locks import check
from testkit.checkout import Checkout


@pytest.fixture
def locked(root: Path, tmp_path: Path) -> Checkout:
    """A copy of the locks and of the projects, which the test may change."""
    paths = [path for folder in ("packages", "services") for path in root.glob(f"{folder}/*/pyproject.toml")]
    projects = [str(path.relative_to(root)) for path in paths]
    names = ["requirements", "shared/pyproject.toml", "workers/pyproject.toml", *projects]
    return Checkout.of(root, names, into=tmp_path)


def test_repository_has_no_findings(locked: Checkout) -> None:
    assert not list(check(locked.root))


@pytest.mark.parametrize(
    ("file", "right", "wrong", "expected"),
    [
        (
            "services/orders/pyproject.toml",
            '"alembic',
            '"reportlab", "alembic',
            "orders.txt: the image does not contain reportlab",
        ),
        ("requirements/orders.txt", "obstore==", "elsewhere==", "orders.txt: the image does not contain obstore"),
        ("shared/pyproject.toml", '"aiohttp', '"rich", "aiohttp', "gateway.txt: the image does not contain rich"),
        ("shared/pyproject.toml", '["obstore', '["rich", "obstore', "workers.txt: the image does not contain rich"),
        (
            "packages/httpx-httptools/pyproject.toml",
            '"httptools',
            '"rich", "httptools',
            "gateway.txt: the image does not contain rich",
        ),
        (
            "packages/otel-lean/pyproject.toml",
            '"urllib3',
            '"rich", "urllib3',
            "runtime.txt: the image does not contain rich",
        ),
        ("requirements/users.txt", "pwdlib==", "aiohttp==3.14.5\npwdlib==", "users.txt: aiohttp is in runtime.txt too"),
        ("requirements/workers.txt", "arq==", "arq==9", "workers.txt: arq is 9"),
        ("requirements/runtime.txt", "fastapi==", "fastapi==9", "runtime.txt: fastapi is 9"),
    ],
)
def test_mistake_is_found(locked: Checkout, file: str, right: str, wrong: str, expected: str) -> None:
    locked.corrupt(file, right, wrong)
    assert any(f"requirements/{expected}" in str(finding) for finding in check(locked.root))
