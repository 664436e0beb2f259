"""Packages, locks, CI and images use the same versions of Python. Workarounds for the oldest one are listed."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
WORKAROUND = re.compile(r"^\s*# Python 3\.11: ", re.MULTILINE)


def read_versions_in_ci() -> list[str]:
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]
    versions: list[str] = jobs["test"]["strategy"]["matrix"]["python"]
    return versions


def test_packages_and_locks_support_the_oldest_version_in_ci() -> None:
    oldest = read_versions_in_ci()[0]
    projects = [*ROOT.glob("*/*/pyproject.toml"), *ROOT.glob("*/pyproject.toml")]
    supported = {tomllib.loads(path.read_text(encoding="utf-8"))["project"]["requires-python"] for path in projects}
    assert supported == {f">={oldest}"}
    assert f"--python-version {oldest} " in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_images_have_a_version_that_ci_tests() -> None:
    dockerfile = (ROOT / "infra/docker/Dockerfile").read_text(encoding="utf-8")
    (image,) = re.findall(r"^ARG PYTHON_IMAGE=(.*)$", dockerfile, re.MULTILINE)
    assert re.split("[:-]", image)[1] in read_versions_in_ci()
    assert f'default = "{image}"' in (ROOT / "docker-bake.hcl").read_text(encoding="utf-8")


def test_workarounds_for_the_oldest_version_are_listed() -> None:
    folders = ("shared", "services", "workers", "packages", "infra", "tools")
    sources = {path: path.read_text(encoding="utf-8") for folder in folders for path in (ROOT / folder).rglob("*.py")}
    marked = {path.relative_to(ROOT).as_posix() for path, text in sources.items() if WORKAROUND.search(text)}
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = page.partition("## Versions of Python")[2].partition("\n## ")[0]
    assert marked == set(re.findall(r"^\| `([^`]+\.py)` \|", section, re.MULTILINE)) != set()
