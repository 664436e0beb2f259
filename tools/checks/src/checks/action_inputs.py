"""Workflows use only inputs that an action has. `action_inputs.yaml` lists them, so the check needs no network."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from checks.findings import Finding

TABLE = "tools/checks/src/checks/action_inputs.yaml"


@dataclass(frozen=True, slots=True)
class Action:
    """The inputs of one action, and the version from which they were copied."""

    read_at: str
    inputs: frozenset[str]


def check_inputs(place: str, uses: str, version: str, inputs: Mapping[str, object]) -> Iterator[Finding]:
    """Compare the `inputs` of a step of the action `uses`, at the commit of `version`, with the table."""
    name = uses.partition("@")[0]
    action = _actions().get(name)
    if action is None:
        yield Finding(place, f"the inputs of {name} are unknown", f"add its action.yml's inputs to {TABLE}")
        return
    if not version:
        yield Finding(place, f"the version of {name} is missing", "add it as a comment of the commit: # v1.2.3")
    elif _major(version) != _major(action.read_at):
        fix = f"read its action.yml and update {TABLE}"
        yield Finding(place, f"the inputs of {name} are those of {action.read_at}, not of {version}", fix)
    for unknown in sorted(set(inputs) - action.inputs):
        yield Finding(place, f"{name} has no input {unknown}", f"use one of {', '.join(sorted(action.inputs))}")


def _major(version: str) -> str:
    return version.partition(".")[0]


@cache
def _actions() -> dict[str, Action]:
    table = yaml.safe_load((files("checks") / "action_inputs.yaml").read_text(encoding="utf-8"))
    return {name: Action(entry["read_at"], frozenset(entry["inputs"].split())) for name, entry in table.items()}
