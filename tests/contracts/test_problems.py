"""`docs/problems.md` has one section for each problem type, with its slug as heading."""

import re
from collections.abc import Iterator
from pathlib import Path

import gateway.errors
import notifications.errors
import orders.errors
import users.errors
from shared.errors.problems import PROBLEM_TYPES, ProblemError

PAGE = (Path(__file__).parents[2] / "docs/problems.md").read_text()
SECTION = re.compile(r"^## (?P<slug>\S+)\n\*\*(?P<status>\d{3})\*\* (?P<text>(?:.+\n)+)", re.MULTILINE)
WITHOUT_A_CLASS = {"method-not-allowed": 405}
"""Problems for errors of the framework, whose title is the phrase of the status."""

SERVICES = (gateway.errors, notifications.errors, orders.errors, users.errors)
"""Imported to define their subclasses of ProblemError."""


def list_subclasses(kind: type[ProblemError] = ProblemError) -> Iterator[type[ProblemError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from list_subclasses(child)


def list_problem_types() -> list[type[ProblemError]]:
    """Return the problems of Hopline, without those that tests define."""
    modules = ("shared.", *(module.__name__ for module in SERVICES))
    return [
        kind
        for kind in list_subclasses()
        if kind.__module__.startswith(modules) and ".tests." not in kind.__module__ and kind.__name__ != "HttpProblem"
    ]


def test_page_has_one_section_with_status_and_title_for_every_problem() -> None:
    sections = {found["slug"]: (int(found["status"]), found["text"]) for found in SECTION.finditer(PAGE)}
    assert len(sections) == PAGE.count("\n## "), "each section begins with its status"
    assert {slug: status for slug, (status, _) in sections.items()} == WITHOUT_A_CLASS | {
        kind.slug: kind.status for kind in list_problem_types()
    }
    for kind in list_problem_types():
        text = sections[kind.slug][1].replace("\n", " ")
        assert text.startswith(kind.title.rstrip(".") + "."), f"{kind.slug}: {kind.title}"


def test_slugs_are_unique() -> None:
    slugs = [kind.slug for kind in list_problem_types()]
    assert sorted(slugs) == sorted(set(slugs))


def test_page_contains_the_prefix_of_types() -> None:
    assert f"`{PROBLEM_TYPES}`" in PAGE
