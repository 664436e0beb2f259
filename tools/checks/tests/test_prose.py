"""Retired words are found in prose and accepted in code."""

from pathlib import Path

import pytest

from checks.prose import EXEMPT, check
from testkit.checkout import Checkout


def test_repository_has_no_findings(root: Path) -> None:
    assert list(check(root)) == []


def test_exempt_files_exist(root: Path) -> None:
    assert [file for file in EXEMPT if not (root / file).exists()] == []


@pytest.mark.parametrize(
    ("file", "text", "place"),
    [
        ("page.md", "# Jobs\n\nIt lists unfinished jobs.\n", "page.md:3"),
        ("orders.py", '"""Orders.\n\nWhoever reads this.\n"""\n', "orders.py:3"),
        ("orders.py", 'LIMIT = 1\n"""Told by a setting."""\n', "orders.py:2"),
        ("orders.py", "get()  # the server forgets it\n", "orders.py:1"),
        ("orders/tests/test_orders.py", "# Nobody orders.\n", "orders/tests/test_orders.py:1"),
        ("page.ts", "const limit = 1;\n// A verdict.\n", "page.ts:2"),
        ("page.ts", "/**\n * The outcome.\n * Nobody reads it.\n */\n", "page.ts:3"),
        ("page.test.tsx", 'test("a frame tells its age", () => {});\n', "page.test.tsx:1"),
        ("page.test.ts", 'test.each([\n  [1],\n])("%s says why", () => {});\n', "page.test.ts:3"),
        ("Makefile", "jobs: ## List unfinished jobs\n", "Makefile:1"),
        ("compose.yaml", "# Patience in seconds\ntimeout: 3\n", "compose.yaml:1"),
    ],
    ids=[
        "markdown",
        "docstring",
        "attribute docstring",
        "comment",
        "comment of a test",
        "line comment",
        "block comment",
        "title",
        "title of a table",
        "makefile",
        "yaml",
    ],
)
def test_retired_word_is_found(checkout: Checkout, file: str, text: str, place: str) -> None:
    checkout.write(file, text)
    [finding] = check(checkout.root)
    assert finding.place == place


def test_message_contains_the_replacement_when_a_phrase_is_wrapped(checkout: Checkout) -> None:
    checkout.write("page.md", "A job can\nnot run.\n")
    [finding] = check(checkout.root)
    assert (finding.problem, finding.fix) == ("“can not” is retired", "use cannot")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("page.md", "The metric `hopline.faults.suffered`.\n"),
        ("page.md", "```sh\necho unfinished\n```\n"),
        ("page.md", "[a page](nobody.md)\n"),
        ("orders.py", "unfinished = 'told'\n"),
        ("page.ts", 'const text = "unfinished";\n'),
        ("compose.yaml", "user: nobody\n"),
        ("CHANGELOG.md", "Uploads that are unfinished.\n"),
    ],
    ids=["inline code", "code block", "link target", "python code", "typescript code", "yaml", "exempt"],
)
def test_code_and_exempt_files_are_accepted(checkout: Checkout, file: str, text: str) -> None:
    checkout.write(file, text)
    assert list(check(checkout.root)) == []
