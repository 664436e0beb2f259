"""Every dependency has a lower and an upper bound, the next version that may break: the next major, or minor of 0.x."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
FOLDERS = ("packages/*", "shared", "services/*", "workers", "infra/*", "tools/*", "tests/*", "loadtests")
PROJECTS = sorted(file for folder in FOLDERS for file in ROOT.glob(f"{folder}/pyproject.toml"))
LISTS = sorted(ROOT.glob("requirements/*.in"))


def named(file: Path) -> str:
    return str(file.relative_to(ROOT))


def own() -> set[str]:
    return {canonicalize_name(tomllib.loads(file.read_text())["project"]["name"]) for file in PROJECTS}


def requirements(file: Path) -> list[str]:
    if file.suffix == ".in":
        lines = (line.partition("#")[0].strip() for line in file.read_text().splitlines())
        return [line for line in lines if line]
    content = tomllib.loads(file.read_text())
    project = content["project"]
    optional = [text for group in project.get("optional-dependencies", {}).values() for text in group]
    return [*project.get("dependencies", []), *optional, *content["build-system"]["requires"]]


def wrong(text: str) -> str | None:
    """Return what is wrong with the bounds of a requirement."""
    bounds = {part.operator: Version(part.version) for part in Requirement(text).specifier}
    if bounds.keys() != {">=", "<"}:
        return "give it one lower and one upper bound: >=,<"
    lower, upper = bounds[">="], bounds["<"]
    highest = Version(f"0.{lower.minor + 1}") if lower.major == 0 else Version(str(lower.major + 1))
    return None if lower < upper <= highest else f"its upper bound is at most {highest}"


@pytest.mark.parametrize("file", [*PROJECTS, *LISTS], ids=named)
def test_every_dependency_is_bounded(file: Path) -> None:
    ours = own()
    foreign = [text for text in requirements(file) if canonicalize_name(Requirement(text).name) not in ours]
    assert not [f"{text}: {advice}" for text in foreign if (advice := wrong(text))]


@pytest.mark.parametrize(
    "text", ["httpx", "httpx>=0.28", "httpx<1", "httpx>=0.28,<1", "redis>=5,<7", "redis==5.3.1", "redis>=5.3,<6,!=5.4"]
)
def test_a_missing_or_wide_bound_is_found(text: str) -> None:
    assert wrong(text)


@pytest.mark.parametrize(
    "text", ["httpx>=0.28.1,<0.29", "redis[hiredis]>=5.3,<6", "x>=1.45.1,<1.46", "x>=0.66b1,<0.67"]
)
def test_a_bound_at_the_next_breaking_version_is_enough(text: str) -> None:
    assert wrong(text) is None


def test_locked_versions_are_within_the_bounds() -> None:
    locked: dict[str, str] = {}
    for file in ROOT.glob("requirements/*.txt"):
        pins = (line.split()[0].split(";")[0] for line in file.read_text().splitlines() if "==" in line.split(" ")[0])
        locked |= {canonicalize_name(name): version for name, _, version in (pin.partition("==") for pin in pins)}
    ours = own()
    for file in [*PROJECTS, *LISTS]:
        for requirement in map(Requirement, requirements(file)):
            name = canonicalize_name(requirement.name)
            if name not in ours:
                assert requirement.specifier.contains(locked[name], prereleases=True), (named(file), str(requirement))
