"""Every dependency has a lower bound, and an upper bound that excludes the next breaking version.

The next breaking version is the next major version, or for 0.x the next minor version.
"""

import tomllib
from collections import defaultdict
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
FOLDERS = ("packages/*", "shared", "services/*", "workers", "infra/*", "tools/*", "tests/*", "loadtests")
PROJECTS = sorted(file for folder in FOLDERS for file in ROOT.glob(f"{folder}/pyproject.toml"))
REQUIREMENT_FILES = sorted(ROOT.glob("requirements/*.in"))


def relative_path(file: Path) -> str:
    return str(file.relative_to(ROOT))


def read_own_packages() -> set[str]:
    """Return the names of Hopline's packages, which have no bounds."""
    return {canonicalize_name(tomllib.loads(file.read_text())["project"]["name"]) for file in PROJECTS}


def read_requirements(file: Path) -> list[str]:
    """Return the requirements in a pyproject.toml or in a file of requirements."""
    if file.suffix == ".in":
        lines = (line.partition("#")[0].strip() for line in file.read_text().splitlines())
        return [line for line in lines if line]
    content = tomllib.loads(file.read_text())
    project = content["project"]
    optional = [text for group in project.get("optional-dependencies", {}).values() for text in group]
    return [*project.get("dependencies", []), *optional, *content["build-system"]["requires"]]


def find_violation(requirement: str) -> str | None:
    """Return advice if the bounds of a requirement are missing or too wide, or None."""
    bounds = {part.operator: Version(part.version) for part in Requirement(requirement).specifier}
    if bounds.keys() != {">=", "<"}:
        return "set one lower and one upper bound: >=,<"
    lower, upper = bounds[">="], bounds["<"]
    next_breaking = Version(f"0.{lower.minor + 1}") if lower.major == 0 else Version(str(lower.major + 1))
    return None if lower < upper <= next_breaking else f"set the upper bound to at most {next_breaking}"


@pytest.mark.parametrize("file", [*PROJECTS, *REQUIREMENT_FILES], ids=relative_path)
def test_every_dependency_is_bounded(file: Path) -> None:
    ours = read_own_packages()
    foreign = [text for text in read_requirements(file) if canonicalize_name(Requirement(text).name) not in ours]
    assert not [f"{text}: {advice}" for text in foreign if (advice := find_violation(text))]


@pytest.mark.parametrize(
    "requirement",
    ["httpx", "httpx>=0.28", "httpx<1", "httpx>=0.28,<1", "redis>=5,<7", "redis==5.3.1", "redis>=5.3,<6,!=5.4"],
)
def test_requirement_is_rejected_when_a_bound_is_missing_or_too_wide(requirement: str) -> None:
    assert find_violation(requirement)


@pytest.mark.parametrize(
    "requirement", ["httpx>=0.28.1,<0.29", "redis[hiredis]>=5.3,<6", "x>=1.45.1,<1.46", "x>=0.66b1,<0.67"]
)
def test_requirement_is_accepted_when_it_excludes_the_next_breaking_version(requirement: str) -> None:
    assert find_violation(requirement) is None


def test_locked_versions_are_within_the_bounds() -> None:
    locked: defaultdict[str, set[str]] = defaultdict(set)
    for file in ROOT.glob("requirements/*.txt"):
        pins = (line.split()[0].split(";")[0] for line in file.read_text().splitlines() if "==" in line.split(" ")[0])
        for name, _, version in (pin.partition("==") for pin in pins):
            locked[canonicalize_name(name)].add(version)
    ours = read_own_packages()
    for file in [*PROJECTS, *REQUIREMENT_FILES]:
        for requirement in map(Requirement, read_requirements(file)):
            name = canonicalize_name(requirement.name)
            if name not in ours:
                assert locked[name], f"{name} of {relative_path(file)} is not locked: run make lock"
                outside = [
                    version
                    for version in sorted(locked[name])
                    if not requirement.specifier.contains(version, prereleases=True)
                ]
                assert not outside, (
                    f"{relative_path(file)} requires {requirement}, but {outside} is locked: run make lock"
                )
