"""Runs validators.

A validator is a function that returns findings for the root of a repository, with a name and the programs that it
needs. To add one, append it to `checks.catalog.VALIDATORS`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from checks.findings import Finding, merge_findings
from checks.programs import Program, missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Validator:
    """`check` receives the root of the repository. It runs only if all programs in `needs` are installed."""

    name: str
    check: Callable[[Path], Iterable[Finding]]
    needs: Sequence[Program] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of one validator: its findings, or the missing programs."""

    name: str
    findings: list[Finding] = field(default_factory=list)
    missing: list[Program] = field(default_factory=list)

    def failed(self, *, programs_required: bool) -> bool:
        """Return whether the outcome fails the whole check. A skipped validator fails it if programs are required."""
        return bool(self.findings or (programs_required and self.missing))

    def lines(self) -> list[str]:
        """Return the lines to print: a summary, and one line for each finding."""
        if self.missing:
            hints = ", ".join(f"{program.name} not found ({program.install_hint})" for program in self.missing)
            return [f"- {self.name}: skipped: {hints}"]
        mark = "✗" if self.findings else "✓"
        return [f"{mark} {self.name}", *(f"  {finding}" for finding in self.findings)]


def run(validator: Validator, root: Path) -> Outcome:
    """Run one validator, unless a program is missing."""
    not_installed = missing(validator.needs)
    if not_installed:
        return Outcome(name=validator.name, missing=not_installed)
    return Outcome(name=validator.name, findings=merge_findings(validator.check(root)))
