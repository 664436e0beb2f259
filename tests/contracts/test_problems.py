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
"""Status by slug of the problems for errors of the framework. They have no class."""

SERVICES = (gateway.errors, notifications.errors, orders.errors, users.errors)
"""The modules that define the problems of the services, as subclasses of ProblemError."""


def list_classes(base: type[ProblemError] = ProblemError) -> Iterator[type[ProblemError]]:
    """Yield `base` and all its subclasses."""
    yield base
    for child in base.__subclasses__():
        yield from list_classes(child)


def list_problem_types() -> list[type[ProblemError]]:
    """Return the problems of Hopline, without those that tests define."""
    modules = ("shared.", *(module.__name__ for module in SERVICES))
    return [
        cls
        for cls in list_classes()
        if cls.__module__.startswith(modules) and ".tests." not in cls.__module__ and cls.__name__ != "HttpProblem"
    ]


def test_page_has_one_section_with_status_and_title_for_every_problem() -> None:
    sections = {found["slug"]: (int(found["status"]), found["text"]) for found in SECTION.finditer(PAGE)}
    assert len(sections) == PAGE.count("\n## "), "a section does not begin with its status"
    assert {slug: status for slug, (status, _) in sections.items()} == WITHOUT_A_CLASS | {
        problem.slug: problem.status for problem in list_problem_types()
    }
    for problem in list_problem_types():
        text = sections[problem.slug][1].replace("\n", " ")
        assert text.startswith(problem.title.rstrip(".") + "."), f"{problem.slug}: {problem.title}"


def test_slugs_are_unique() -> None:
    slugs = [problem.slug for problem in list_problem_types()]
    assert sorted(slugs) == sorted(set(slugs))


def test_page_contains_the_prefix_of_problem_types() -> None:
    assert f"`{PROBLEM_TYPES}`" in PAGE
