"""The names that docs/telemetry.md lists."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[4] / "docs" / "telemetry.md"


def read_section(heading: str) -> str:
    """Return the text under a heading of the second level."""
    _, _, section = PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")
    assert section, f"{PAGE} has no section {heading!r}"
    return section.partition("\n## ")[0]


def read_listed(heading: str) -> set[str]:
    """Return the names in the first column of the tables under a heading."""
    return set(re.findall(r"^\| `([^`]+)` \|", read_section(heading), re.MULTILINE))
