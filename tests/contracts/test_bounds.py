"""Every dependency has a lower bound and an upper bound, at most the next major version (the next minor of 0.x)."""

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
LISTS = sorted(ROOT.glob("requirements/*.in"))


def relative_name(file: Path) -> str:
    return str(file.relative_to(ROOT))


def own_packages() -> set[str]:
    return {canonicalize_name(tomllib.loads(file.read_text())["project"]["name"]) for file in PROJECTS}


def requirements(file: Path) -> list[str]:
    if file.suffix == ".in":
        lines = (line.partition("#")[0].strip() for line in file.read_text().splitlines())
        return [line for line in lines if line]
    content = tomllib.loads(file.read_text())
    project = content["project"]
    optional = [text for group in project.get("optional-dependencies", {}).values() for text in group]
    return [*project.get("dependencies", []), *optional, *content["build-system"]["requires"]]


def check_bounds(text: str) -> str | None:
    """Return advice if the bounds of a requirement are missing or too wide, or None."""
    bounds = {part.operator: Version(part.version) for part in Requirement(text).specifier}
    if bounds.keys() != {">=", "<"}:
        return "set one lower and one upper bound: >=,<"
    lower, upper = bounds[">="], bounds["<"]
    highest = Version(f"0.{lower.minor + 1}") if lower.major == 0 else Version(str(lower.major + 1))
    return None if lower < upper <= highest else f"lower the upper bound to {highest}"


@pytest.mark.parametrize("file", [*PROJECTS, *LISTS], ids=relative_name)
def test_every_dependency_is_bounded(file: Path) -> None:
    ours = own_packages()
    foreign = [text for text in requirements(file) if canonicalize_name(Requirement(text).name) not in ours]
    assert not [f"{text}: {advice}" for text in foreign if (advice := check_bounds(text))]


@pytest.mark.parametrize(
    "text", ["httpx", "httpx>=0.28", "httpx<1", "httpx>=0.28,<1", "redis>=5,<7", "redis==5.3.1", "redis>=5.3,<6,!=5.4"]
)
def test_requirement_is_rejected_when_a_bound_is_missing_or_too_wide(text: str) -> None:
    assert check_bounds(text)


@pytest.mark.parametrize(
    "text", ["httpx>=0.28.1,<0.29", "redis[hiredis]>=5.3,<6", "x>=1.45.1,<1.46", "x>=0.66b1,<0.67"]
)
def test_requirement_is_accepted_when_its_bound_is_the_next_breaking_version(text: str) -> None:
    assert check_bounds(text) is None


def test_locked_versions_are_within_the_bounds() -> None:
    locked: defaultdict[str, set[str]] = defaultdict(set)
    for file in ROOT.glob("requirements/*.txt"):
        pins = (line.split()[0].split(";")[0] for line in file.read_text().splitlines() if "==" in line.split(" ")[0])
        for name, _, version in (pin.partition("==") for pin in pins):
            locked[canonicalize_name(name)].add(version)
    ours = own_packages()
    for file in [*PROJECTS, *LISTS]:
        for requirement in map(Requirement, requirements(file)):
            name = canonicalize_name(requirement.name)
            if name not in ours:
                assert locked[name], f"{name} of {relative_name(file)} is not locked: run make lock"
                outside = [
                    version
                    for version in sorted(locked[name])
                    if not requirement.specifier.contains(version, prereleases=True)
                ]
                assert not outside, f"{relative_name(file)}: {requirement}, but {outside} is locked"
