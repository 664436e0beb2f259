"""Markdown pages refer only to existing files, modules, tests, commands and names."""

from pathlib import Path

import pytest

from checks.references import check

FILES = {
    "Makefile": "demo: ## Place an order\n",
    "services/shop/src/shop/__init__.py": "",
    "services/shop/src/shop/orders.py": "class OrderError(Exception): ...\n\ndef place_order() -> None: ...\n",
    "services/shop/tests/test_orders.py": "class TestOrder:\n    def test_is_placed(self) -> None: ...\n",
    "settings.toml": 'metric = "shop.orders.placed"\nMAX_ORDERS = 3\n',
}


def check_page(root: Path, text: str, page: str = "docs/page.md") -> list[str]:
    """Write a page and the files that it refers to, and return the findings."""
    for name, content in {**FILES, page: text}.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return [f"{finding.place} {finding.problem}" for finding in check(root)]


def test_repository_has_no_findings(root: Path) -> None:
    assert not list(check(root))


@pytest.mark.parametrize(
    "code",
    [
        "services/shop/src/shop/orders.py",
        "shop/orders.py",
        "shop/{orders,__init__}.py",
        "tests/test_orders.py::TestOrder::test_is_placed",
        "test_orders.TestOrder",
        "shop.orders.place_order",
        "shop.orders",
        "place_order(…)",
        "OrderError",
        "MAX_ORDERS=3 make demo",
        "shop_orders_placed",
        "build/report.html",
    ],
)
def test_existing_reference_is_accepted(tmp_path: Path, code: str) -> None:
    assert check_page(tmp_path, f"See `{code}`.\n") == []


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("shop/basket.py", "there is no file shop/basket.py"),
        ("shop/{orders,basket}.py", "there is no file shop/basket.py"),
        ("tests/test_orders.py::TestBasket", "tests/test_orders.py has no TestBasket"),
        ("test_orders.TestOrder.test_is_paid", "test_orders.py has no test_is_paid"),
        ("shop.orders.cancel_order", "there is no shop.orders.cancel_order"),
        ("shop.baskets", "there is no shop.baskets"),
        ("cancel_order", "no file contains the name cancel_order"),
        ("BasketError", "no file contains the name BasketError"),
        ("make ship", "make has no target ship"),
        ("python -m shop.basket", "there is no module shop.basket"),
    ],
)
def test_missing_reference_is_found_with_its_line(tmp_path: Path, code: str, problem: str) -> None:
    assert check_page(tmp_path, f"# Page\n\nSee `{code}`.\n") == [f"docs/page.md:3 {problem}"]


def test_missing_command_in_a_block_is_found(tmp_path: Path) -> None:
    assert check_page(tmp_path, "```sh\nmake ship\n```\n") == ["docs/page.md:2 make has no target ship"]


@pytest.mark.parametrize("page", ["CHANGELOG.md", "docs/adr/0001-old.md"])
def test_pages_about_earlier_versions_are_not_checked(tmp_path: Path, page: str) -> None:
    assert check_page(tmp_path, "*Superseded by ADR 2.* See `shop/basket.py`.\n", page) == []


def test_names_in_an_adr_are_not_checked_but_files_are(tmp_path: Path) -> None:
    found = check_page(tmp_path, "`BasketError` in `shop/basket.py`\n", "docs/adr/0002-new.md")
    assert found == ["docs/adr/0002-new.md:1 there is no file shop/basket.py"]
