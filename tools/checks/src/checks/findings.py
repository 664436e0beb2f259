"""Results of validators: the place, the problem and the fix."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem.

    `place` is a file of the repository, and optionally a part of it. `seen_in` names the rendering of the file that has
    the problem, if the file is rendered.
    """

    place: str
    problem: str
    fix: str
    seen_in: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}; {self.fix}" + (f" [{self.seen_in}]" if self.seen_in else "")


def merge_findings(findings: Iterable[Finding]) -> list[Finding]:
    """Merge equal findings of several renderings of a file."""
    places: dict[tuple[str, str, str], list[str]] = {}
    for finding in findings:
        seen = places.setdefault((finding.place, finding.problem, finding.fix), [])
        if finding.seen_in not in seen:
            seen.append(finding.seen_in)
    return [Finding(*key, seen_in=_summary(seen)) for key, seen in places.items()]


def _summary(seen: list[str]) -> str:
    return seen[0] if len(seen) == 1 else f"{seen[0]} and {len(seen) - 1} more"
