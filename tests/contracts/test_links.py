"""Links within the repository lead to existing files and headings, and every ADR is listed."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?![a-z]+:)([^)\s#]*)#?([^)\s]*)\)")
FOLDERS = ("docs", "infra", "loadtests", "packages", "services", "shared", "tests", "tools", "workers")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def list_pages() -> list[str]:
    """Return the pages of the repository, without those of installed packages."""
    below = [page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md") if "node_modules" not in page.parts]
    return sorted(str(page.relative_to(ROOT)) for page in [*ROOT.glob("*.md"), *below])


def list_anchors(page: Path) -> set[str]:
    """Return the anchors of a page as GitHub builds them: lower case, hyphens between words, no other punctuation."""
    headings = HEADING.findall(FENCED.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def find_broken_links(page: Path) -> list[str]:
    """Return the targets of the page's links that do not exist."""
    links = LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8")))
    targets = [((page.parent / file).resolve() if file else page, anchor) for file, anchor in links]
    missing = [str(target) for target, _ in targets if not target.exists()]
    linked = [(target, anchor) for target, anchor in targets if anchor and target.suffix == ".md" and target.exists()]
    return missing + [f"{target}#{anchor}" for target, anchor in linked if anchor not in list_anchors(target)]


@pytest.mark.parametrize("page", list_pages())
def test_links_lead_to_existing_targets(page: str) -> None:
    assert find_broken_links(ROOT / page) == []


def test_link_is_broken_when_its_file_or_heading_is_missing(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One, two\n[a](#one-two) [b](#two) [c](page.md#one-two) [d](gone.md) [e](https://x.example/y#z)\n"
    )
    assert find_broken_links(page) == [str(tmp_path / "gone.md"), f"{page}#two"]


@pytest.mark.parametrize("decision", sorted((ROOT / "docs/adr").glob("[0-9]*.md")), ids=lambda file: file.stem)
def test_architecture_decision_is_listed_with_its_number_and_title(decision: Path) -> None:
    number, _, title = decision.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ").partition(". ")
    assert int(number) == int(decision.name[:4])
    assert f"\n{number}. [{title}]({decision.name})" in (ROOT / "docs/adr/README.md").read_text(encoding="utf-8")
