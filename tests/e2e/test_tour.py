"""The commands of the tour print the output that the page shows.

A block with the language `sh` contains commands. The next blocks without a language contain some lines of their output,
in order. `…` matches any text. A block with another word after `sh` needs other programs or takes long, so it is not
run here.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from embedded.ports import PORTS
from testkit.stack import free_offset

pytestmark = pytest.mark.xdist_group("own-stack")

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/tour.md"
TIMEOUT_S = 600
END_OF_STEP = "@@@"
"""Line that the shell prints after each step."""

_BLOCK = re.compile(r"^```(?P<language>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_TITLE = re.compile(r"^## (.+)$", re.MULTILINE)


@dataclass(kw_only=True)
class Step:
    """One block of commands and its expected output."""

    title: str
    commands: str
    expected: list[str] = field(default_factory=list)


def read_steps() -> list[Step]:
    """Return the blocks of commands that are run here, each with the title of its section."""
    page, steps, is_tested = PAGE.read_text(encoding="utf-8"), list[Step](), False
    for block in _BLOCK.finditer(page):
        title = (_TITLE.findall(page, 0, block.start()) or ["Begin"])[-1]
        if block["language"].startswith("sh"):
            is_tested = block["language"] == "sh"
            if is_tested:
                steps.append(Step(title=title, commands=block["body"]))
        elif not block["language"] and is_tested:
            steps[-1].expected += block["body"].splitlines()
    return steps


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Run all steps in one shell with a separate stack, and return the output of each step.

    The last element is the output after the last step. It is missing if the shell ended early or took too long.
    """
    folder = Path(os.environ.get("TMPDIR") or "/tmp") / f"hopline-tour-{os.getpid()}"  # noqa: S108 - short, for sockets
    log = tmp_path_factory.mktemp("tour") / "output"
    overrides = {"HOPLINE_HOME": str(folder), "HOPLINE_PORT_OFFSET": str(free_offset(PORTS.values())), "COLUMNS": "140"}
    overrides["MODE"] = "compose"  # as on a machine with Docker, so that the page must select the embedded mode
    environment = {**os.environ, **overrides}
    script = "\n".join(f"{step.commands}\necho; echo {END_OF_STEP}" for step in read_steps())
    try:
        with log.open("wb") as file, suppress(subprocess.TimeoutExpired):
            subprocess.run(  # noqa: S603 - the page of this checkout
                ["/bin/bash", "-c", script],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=TIMEOUT_S,
                check=False,
            )
        yield log.read_text(encoding="utf-8").split(f"\n{END_OF_STEP}\n")
    finally:
        subprocess.run(["make", "clean", "MODE=embedded"], cwd=ROOT, env=environment, check=False, capture_output=True)  # noqa: S607


@pytest.mark.timeout(TIMEOUT_S + 60)
def test_commands_print_what_the_page_shows(outputs: list[str]) -> None:
    missing = [
        f"{step.title}: {line!r} is not in the output of\n{step.commands}{output}"
        for step, output in zip(read_steps(), outputs, strict=False)
        if (line := find_missing_line(step.expected, output.splitlines())) is not None
    ]
    assert not missing, "\n\n".join(missing)
    assert len(outputs) == len(read_steps()) + 1, f"the shell ended early, or did not end within {TIMEOUT_S} s"


def find_missing_line(expected: list[str], printed: list[str]) -> str | None:
    """Return the first expected line that is not printed after the expected lines before it; None if all are."""
    rest = iter(printed)
    for wanted in expected:
        pattern = ".*".join(re.escape(part) for part in wanted.strip().split("…"))
        if not any(re.fullmatch(pattern, line.strip()) for line in rest):
            return wanted
    return None
