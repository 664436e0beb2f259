"""What images install, held against what their packages declare and what the tests run with."""

from pathlib import Path

import pytest

from checks.containers.locks import check
from testkit.checkout import Checkout


@pytest.fixture
def locked(root: Path, tmp_path: Path) -> Checkout:
    projects = [str(path.relative_to(root)) for path in root.glob("[ps]*/*/pyproject.toml")]  # packages, services
    names = ["requirements", "shared/pyproject.toml", "workers/pyproject.toml", *projects]
    return Checkout.of(root, names, into=tmp_path)


def test_ours_are_clean(locked: Checkout) -> None:
    assert not list(check(locked.root))


@pytest.mark.parametrize(
    ("file", "right", "wrong", "said"),
    [
        (
            "services/orders/pyproject.toml",
            '"alembic',
            '"reportlab", "alembic',
            "orders.txt: the image would lack reportlab",
        ),
        ("requirements/orders.txt", "obstore==", "elsewhere==", "orders.txt: the image would lack obstore"),
        ("shared/pyproject.toml", '"aiohttp', '"rich", "aiohttp', "gateway.txt: the image would lack rich"),
        ("shared/pyproject.toml", '["obstore', '["rich", "obstore', "workers.txt: the image would lack rich"),
        (
            "packages/httpx-httptools/pyproject.toml",
            '"httptools',
            '"rich", "httptools',
            "gateway.txt: the image would lack rich",
        ),
        ("requirements/users.txt", "pwdlib==", "aiohttp==3.14.5\npwdlib==", "users.txt: aiohttp is in runtime.txt too"),
        ("requirements/workers.txt", "arq==", "arq==9", "workers.txt: arq is 9"),
        ("requirements/runtime.txt", "fastapi==", "fastapi==9", "runtime.txt: fastapi is 9"),
    ],
)
def test_a_planted_mistake_is_found(locked: Checkout, file: str, right: str, wrong: str, said: str) -> None:
    locked.spoil(file, right, wrong)
    assert any(f"requirements/{said}" in str(finding) for finding in check(locked.root))
