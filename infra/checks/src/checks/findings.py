"""What a validator says: where something is, what is wrong with it, and how to mend it."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake.

    `place` is a file of the repository, and what inside of it; `seen_in` tells which of several renderings of that
    file has the mistake, where it is rendered at all.
    """

    place: str
    wrong: str
    mend: str
    seen_in: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.wrong}; {self.mend}" + (f" [{self.seen_in}]" if self.seen_in else "")


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Say once what several renderings of the same file have in common."""
    places: dict[tuple[str, str, str], list[str]] = {}
    for finding in findings:
        seen = places.setdefault((finding.place, finding.wrong, finding.mend), [])
        if finding.seen_in not in seen:
            seen.append(finding.seen_in)
    return [Finding(*key, seen_in=_summary(seen)) for key, seen in places.items()]


def _summary(seen: list[str]) -> str:
    return seen[0] if len(seen) == 1 else f"{seen[0]} and {len(seen) - 1} more"
