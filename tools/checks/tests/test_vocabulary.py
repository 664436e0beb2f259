"""Retired words in identifiers, and the table of the glossary that documents them."""

from pathlib import Path

import pytest

from checks.vocabulary import RETIRED, check
from testkit.checkout import Checkout

HEADER = "| retired | use |\n|---|---|\n"


def documented_words(glossary: str) -> dict[str, str]:
    """Return the replacement of each retired word in the glossary's table."""
    table = glossary.partition(HEADER)[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return {word: instead for words, instead in rows for word in words.split(", ")}


def test_glossary_lists_the_retired_words_of_the_check(root: Path) -> None:
    checked = {word: instead for words, instead in RETIRED.items() for word in words.split()}
    assert documented_words((root / "docs/glossary.md").read_text(encoding="utf-8")) == checked


def test_repository_has_no_findings(root: Path) -> None:
    assert list(check(root)) == []


@pytest.mark.parametrize(
    ("file", "code", "place"),
    [
        ("orders.py", "def get():\n    verdict = 1\n", "orders.py:2"),
        ("orders.py", "class LastWordsStored: ...\n", "orders.py:1"),
        ("orders.py", "from asyncio import wait as patience\n", "orders.py:1"),
        ("orders.py", "def get(*, kept_days): ...\n", "orders.py:1"),
        ("orders.py", "\nlog.info('order_refused', why=1)\n", "orders.py:2"),
        ("chores.py", "", "chores.py:1"),
    ],
    ids=["variable", "class", "alias", "parameter", "log event", "module"],
)
def test_retired_word_is_found_with_its_place(checkout: Checkout, file: str, code: str, place: str) -> None:
    checkout.write(file, code)
    [finding] = check(checkout.root)
    assert finding.place == place


@pytest.mark.parametrize("code", ["dead_letters = 1\n", "kind = 'verdict'\n", "orders.answers()\n", "# patience\n"])
def test_dead_letters_strings_comments_and_names_that_are_only_used_are_accepted(checkout: Checkout, code: str) -> None:
    checkout.write("orders.py", code)
    assert list(check(checkout.root)) == []
