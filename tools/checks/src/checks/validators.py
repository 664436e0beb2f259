"""Validators and how they are run.

A validator is a function from the repository's root to findings, with a name and the programs that it needs. To add
one, put it into `checks.catalog.VALIDATORS`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from checks.findings import Finding, merged
from checks.programs import Program, missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Validator:
    """`check` looks at the repository whose root it is given; it runs only where all of `needs` is there."""

    name: str
    check: Callable[[Path], Iterable[Finding]]
    needs: Sequence[Program] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one validator: findings, or the programs for want of which it did not run."""

    name: str
    findings: list[Finding] = field(default_factory=list)
    missing: list[Program] = field(default_factory=list)

    def failed(self, *, tools_required: bool) -> bool:
        """Say whether the check as a whole fails by this; where tools are required, a skipped validator fails too."""
        return bool(self.findings or (tools_required and self.missing))

    def lines(self) -> list[str]:
        """Give what a person reads: one line, and one for each finding."""
        if self.missing:
            wanted = ", ".join(f"{program.name} not found ({program.get_it_by})" for program in self.missing)
            return [f"- {self.name}: skipped: {wanted}"]
        mark = "✗" if self.findings else "✓"
        return [f"{mark} {self.name}", *(f"  {finding}" for finding in self.findings)]


def run(validator: Validator, root: Path) -> Outcome:
    """Run one validator, or say what it lacks."""
    lacking = missing(validator.needs)
    if lacking:
        return Outcome(name=validator.name, missing=lacking)
    return Outcome(name=validator.name, findings=merged(validator.check(root)))
