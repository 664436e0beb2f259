"""Workflows give an action only what it takes; `action_inputs.yaml` says what that is, without a network."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from checks.findings import Finding

TABLE = "infra/checks/src/checks/action_inputs.yaml"


@dataclass(frozen=True, slots=True)
class Action:
    """What one action takes, and the version at which that was read."""

    read_at: str
    inputs: frozenset[str]


def check_inputs(place: str, uses: str, version: str, given: Mapping[str, object]) -> Iterator[Finding]:
    """Hold what a step gives the action `uses`, whose commit is `version`, against the table."""
    name = uses.partition("@")[0]
    action = _actions().get(name)
    if action is None:
        yield Finding(place, f"nobody has written down what {name} takes", f"add its action.yml's inputs to {TABLE}")
        return
    if _major(version) != _major(action.read_at):
        mend = f"read its action.yml and bring {TABLE} up to date"
        yield Finding(place, f"the inputs of {name} were read at {action.read_at}, not {version}", mend)
    for unknown in sorted(set(given) - action.inputs):
        yield Finding(place, f"{name} takes no {unknown}", f"give it one of {', '.join(sorted(action.inputs))}")


def _major(version: str) -> str:
    return version.partition(".")[0]


@cache
def _actions() -> dict[str, Action]:
    table = yaml.safe_load((files("checks") / "action_inputs.yaml").read_text(encoding="utf-8"))
    return {name: Action(entry["read_at"], frozenset(entry["inputs"].split())) for name, entry in table.items()}
