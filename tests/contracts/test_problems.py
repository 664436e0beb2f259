"""`docs/problems.md` has a section for each problem type there is, under the name its `type` ends in."""

import re
from collections.abc import Iterator
from pathlib import Path

import gateway.errors
import notifications.errors
import orders.errors
import users.errors
from shared.errors import PROBLEM_TYPES, Problem

PAGE = (Path(__file__).parents[2] / "docs/problems.md").read_text()
SECTION = re.compile(r"^## (?P<slug>\S+)\n\*\*(?P<status>\d{3})\*\* (?P<text>(?:.+\n)+)", re.MULTILINE)
WITHOUT_A_CLASS = {"method-not-allowed": 405}
"""What the framework raises and `shared.errors` names by the status's own phrase."""

SERVICES = (gateway.errors, notifications.errors, orders.errors, users.errors)
"""Imported for their classes."""


def problems(kind: type[Problem] = Problem) -> Iterator[type[Problem]]:
    yield kind
    for child in kind.__subclasses__():
        yield from problems(child)


def ours() -> list[type[Problem]]:
    """Those of the product: tests have problems of their own."""
    modules = ("shared.", *(module.__name__ for module in SERVICES))
    return [
        kind
        for kind in problems()
        if kind.__module__.startswith(modules) and ".tests." not in kind.__module__ and kind.__name__ != "HttpProblem"
    ]


def test_every_problem_has_its_section_and_every_section_its_problem() -> None:
    sections = {found["slug"]: (int(found["status"]), found["text"]) for found in SECTION.finditer(PAGE)}
    assert len(sections) == PAGE.count("\n## "), "a section lacks its status"
    assert {slug: status for slug, (status, _) in sections.items()} == WITHOUT_A_CLASS | {
        kind.slug: kind.status for kind in ours()
    }
    for kind in ours():
        said = sections[kind.slug][1].replace("\n", " ")
        assert said.startswith(kind.title.rstrip(".") + "."), f"{kind.slug}: {kind.title}"


def test_a_slug_belongs_to_one_problem() -> None:
    slugs = [kind.slug for kind in ours()]
    assert sorted(slugs) == sorted(set(slugs))


def test_the_page_says_what_types_begin_with() -> None:
    assert f"`{PROBLEM_TYPES}`" in PAGE


def test_links_lead_to_sections() -> None:
    assert all((Path(__file__).parents[2] / "docs" / path).exists() for path in re.findall(r"\]\(([^)#]+)\)", PAGE))
