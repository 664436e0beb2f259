"""The Compose files as one model: `include` and `extends` are merged, as by `docker compose config`.

It supports the features of Compose that Hopline's files use, so that the policy can be checked without Docker. Values
still contain variables, which `default` replaces.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path("infra/compose")
MAIN = "compose.yaml"

_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_MEBIBYTES = {"": 1 / 1024**2, "k": 1 / 1024, "m": 1.0, "g": 1024.0}

_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<operator>:?[-?+])(?P<value>[^{}]*))?\}")


@dataclass(frozen=True, slots=True)
class Service:
    """One merged service; `file` defines it."""

    name: str
    file: Path
    definition: Mapping[str, Any]

    @property
    def place(self) -> str:
        """Return the place for a finding."""
        return f"{self.file} {self.name}"

    @property
    def is_one_shot(self) -> bool:
        """Whether it runs once and ends, before the services that depend on it start."""
        return bool(self.definition.get("restart") == "no")

    @property
    def limits(self) -> Mapping[str, Any]:
        """Return the limits of memory, CPU time and processes that it has."""
        limits: Mapping[str, Any] = self.definition.get("deploy", {}).get("resources", {}).get("limits", {})
        return limits

    @property
    def profiles(self) -> tuple[str, ...]:
        """Return the profiles that start it; empty if it always starts."""
        return tuple(self.definition.get("profiles", ()))


def files(root: Path) -> list[Path]:
    """Return the main file and the files that it includes, relative to the root."""
    pending, found = [FOLDER / MAIN], list[Path]()
    while pending:
        path = pending.pop()
        if path not in found:
            found.append(path)
            pending.extend(path.parent / name for name in _read(root / path).get("include", []))
    return found


def services(root: Path) -> list[Service]:
    """Return every service of these files."""
    return [
        Service(name, path, _extended(root / path, definition))
        for path in files(root)
        for name, definition in _read(root / path).get("services", {}).items()
    ]


def declared(root: Path, kind: str) -> set[str]:
    """Return the names of all `networks`, `volumes` or `secrets`."""
    return {name for path in files(root) for name in _read(root / path).get(kind, {})}


def default(text: object) -> str:
    """Return the text with the default of each variable: `${PORT:-80}` becomes 80."""
    before, result = "", str(text)
    while result != before:  # a default can contain another variable
        before = result
        result = _VARIABLE.sub(lambda found: found["value"] if "-" in (found["operator"] or "") else "", before)
    return result


def mebibytes(amount: str) -> float:
    """Return a size of Compose, Kubernetes or GOMEMLIMIT (`144M`, `512Mi`, `110MiB`) in MiB; 0 if it is invalid."""
    parsed = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]?)i?b?", amount.strip().lower())
    return float(parsed[1]) * _MEBIBYTES[parsed[2]] if parsed else 0.0


def names(value: object) -> list[str]:
    """Return the names in `value`. Compose allows a list, a list of mappings and a mapping."""
    if isinstance(value, Mapping):
        return list(value)
    items: Iterable[object] = value if isinstance(value, list) else []
    return [str(item["source"]) if isinstance(item, Mapping) else str(item) for item in items]


def _read(path: Path) -> dict[str, Any]:
    return _parsed(path.read_text(encoding="utf-8"))


@lru_cache(maxsize=16)
def _parsed(text: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.load(text, Loader=_LOADER)  # noqa: S506 - a safe loader, in C if available
    return content


def _extended(path: Path, definition: Mapping[str, Any]) -> dict[str, Any]:
    """Merge a service with its base: mappings by key, lists appended; values of the service take precedence."""
    own = {key: value for key, value in definition.items() if key != "extends"}
    if isinstance(pairs := own.get("environment"), list):
        own["environment"] = {name: value if equals else None for name, equals, value in map(_assignment, pairs)}
    if isinstance(others := own.get("depends_on"), list):
        own["depends_on"] = {name: {"condition": "service_started"} for name in others}
    if not (extends := definition.get("extends")):
        return own
    base_path = path.parent / extends["file"] if "file" in extends else path
    base = _extended(base_path, _read(base_path)["services"][extends["service"]])
    return _merged(base, own)


def _assignment(pair: str) -> tuple[str, str, str]:
    """Split `NAME=value`, or `NAME` alone, whose value comes from the caller."""
    return pair.partition("=")


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in own.items():
        there = result.get(key)
        if isinstance(there, Mapping) and isinstance(value, Mapping):
            result[key] = _merged(there, value)
        elif isinstance(there, list) and isinstance(value, list) and key not in {"command", "entrypoint"}:
            result[key] = [*there, *value]
        else:
            result[key] = value
    return result
