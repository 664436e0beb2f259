"""Every page's links within the repository lead somewhere: to a file that is there, and to a heading that it has."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?![a-z]+:)([^)\s#]*)#?([^)\s]*)\)")
FOLDERS = ("docs", "infra", "loadtests", "packages", "services", "shared", "tests", "workers")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def pages() -> list[str]:
    """Those of the repository, not those that packages brought along."""
    below = [page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md") if "node_modules" not in page.parts]
    return sorted(str(page.relative_to(ROOT)) for page in [*ROOT.glob("*.md"), *below])


def anchors(page: Path) -> set[str]:
    """As a forge makes them: lower case, words joined by hyphens, no other punctuation."""
    headings = HEADING.findall(FENCED.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path) -> list[str]:
    links = LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8")))
    targets = [((page.parent / file).resolve() if file else page, anchor) for file, anchor in links]
    missing = [str(target) for target, _ in targets if not target.exists()]
    linked = [(target, anchor) for target, anchor in targets if anchor and target.suffix == ".md" and target.exists()]
    return missing + [f"{target}#{anchor}" for target, anchor in linked if anchor not in anchors(target)]


@pytest.mark.parametrize("page", pages())
def test_links_lead_somewhere(page: str) -> None:
    assert broken(ROOT / page) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One, two\n[a](#one-two) [b](#two) [c](page.md#one-two) [d](gone.md) [e](https://x.example/y#z)\n"
    )
    assert broken(page) == [str(tmp_path / "gone.md"), f"{page}#two"]
