"""Generates and checks `.env.example` and docs/settings.md from the fields of the settings classes.

`python -m checks.env_example` updates both files.
"""

import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from checks.findings import Finding
from checks.validators import Validator
from shared.config import old_names

FILE = ".env.example"
PAGE = "docs/settings.md"
WIDTH = 118

PROCESSES = {
    "gateway": ("shared.config:GunicornSettings", "gateway.settings:Settings"),
    "users": ("shared.config:GunicornSettings", "users.settings:Settings"),
    "orders": ("shared.config:GunicornSettings", "orders.settings:Settings"),
    "notifications": ("shared.config:GunicornSettings", "notifications.settings:Settings"),
    "workers": ("workers.settings:Settings", "workers.settings:ReportSettings"),
}
"""The settings classes of each process. They are imported by name, because this package does not depend on services."""

HEADER = """\
# The environment variables of Hopline's processes, with their defaults. Generated: `python -m checks.env_example`.
#
# Copy this file to `.env` and uncomment the variables that you change. `.env` is read in development only (the
# environment variable ENVIRONMENT is unset or `development`):
# - by `make up`, in the top-level folder. It passes the variables to the processes, except those that it sets itself:
#   addresses, ports, database URLs and secrets. With Compose, the processes get the variables that compose.yaml passes.
# - by a service or a worker that you start by hand, in its working directory.
#
# Environment variables take precedence over `.env`. PYTHON_DOTENV_DISABLED=1 ignores the file; the tests set it.
# Every variable can be given as a file, in the environment only: X_FILE=/run/secrets/x sets X to the file's content.
# OpenTelemetry's other variables (OTEL_*) are read by its SDK, from the environment only.
"""


PAGE_HEADER = """\
# Settings

This page lists every environment variable that the processes read. `python -m checks.env_example` generates it from
the fields of the settings classes.

Each process validates its settings at its start. If a setting is invalid, or a required one is missing, the process
prints the name of the variable and exits with status 4. The value of a variable comes from the first of these sources
that contains it:

1. the environment, or the file that `X_FILE=/run/secrets/x` names, so that secrets need not be in the environment;
2. `.env` in the working directory, in development only (`cp .env.example .env` creates it);
3. the default.

`make up` reads `.env` in both modes. If you start Compose by hand, pass the file to it:
`docker compose --env-file .env -f infra/compose/compose.yaml up`. Containers get the variables that
[`compose.yaml`](../infra/compose/compose.yaml) names. Images never contain a `.env` (`.dockerignore`), and git ignores
it, because a secret that was committed once stays in the history.

In the code, a process has one settings class. Routes receive it by `Depends(get_settings)`, which is cached, and tests
replace it by `dependency_overrides`. OpenTelemetry's SDK reads its other variables (`OTEL_*`) itself, from the
environment only.
"""


@dataclass(frozen=True, kw_only=True)
class Variable:
    """An environment variable. `default` is its text, None if the variable is required."""

    name: str
    description: str
    default: str | None
    values: str
    processes: tuple[str, ...]


def variables() -> list[Variable]:
    """Return all variables, those of most processes first. Raises ValueError if two definitions differ."""
    found: dict[str, Variable] = {}
    for process, classes in PROCESSES.items():
        for path in classes:
            for name, field in _fields(path).items():
                known = found.get(name.upper())
                variable = _variable(name.upper(), field, (*(known.processes if known else ()), process))
                if known and (known.description, known.default) != (variable.description, variable.default):
                    raise ValueError(f"{variable.name}: two settings differ in its description or default")
                found[variable.name] = variable
    order = list(PROCESSES)
    return sorted(
        found.values(),
        key=lambda variable: (-len(variable.processes), [order.index(name) for name in variable.processes]),
    )


def _fields(path: str) -> dict[str, FieldInfo]:
    module, _, name = path.partition(":")
    fields: dict[str, FieldInfo] = getattr(import_module(module), name).model_fields
    return fields


def _variable(name: str, field: FieldInfo, processes: tuple[str, ...]) -> Variable:
    if not field.description:
        raise ValueError(f"{name}: its field has no description")
    return Variable(
        name=name,
        description=field.description,
        default=None if field.is_required() else format_default(field.default),
        values=_values(field),
        processes=tuple(dict.fromkeys(processes)),
    )


def format_default(value: Any) -> str:
    """Return a default value as text for the environment."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return ",".join(value)
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _values(field: FieldInfo) -> str:
    """Return the accepted values and the variable's old name in words; empty if there is neither."""
    former = [f"Formerly {name.upper()}" for name in old_names(field)]
    return ". ".join([*filter(None, [_bounds(field)]), *former])


def _bounds(field: FieldInfo) -> str:
    if isinstance(field.annotation, type) and issubclass(field.annotation, Enum):
        return "One of: " + ", ".join(member.value for member in field.annotation)
    words: list[str] = []
    for bound in field.metadata:
        match bound:
            case Ge():
                words.append(f"at least {bound.ge}")
            case Gt():
                words.append(f"more than {bound.gt}")
            case Le():
                words.append(f"at most {bound.le}")
            case Lt():
                words.append(f"less than {bound.lt}")
    return ", ".join(words).capitalize()


def render_env_example() -> str:
    """Return the file's content."""
    lines, section = [HEADER], ""
    for variable in variables():
        readers = " and ".join(", ".join(variable.processes).rsplit(", ", 1))
        title = "Every process" if len(variable.processes) == len(PROCESSES) else readers.capitalize()
        if title != section:
            lines.append(f"\n# --- {title} ---")
            section = title
        values = f"{variable.values}. " if variable.values else ""
        text = f"{variable.description}. {values}{'Required.' if variable.default is None else ''}".strip()
        lines.append("\n" + textwrap.fill(text, WIDTH, initial_indent="# ", subsequent_indent="# "))
        lines.append(f"# {variable.name}={_quoted(variable.default or '')}")
    return "\n".join(lines) + "\n"


def render_page() -> str:
    """Return the content of docs/settings.md: a table for each group of processes."""
    lines, section = [PAGE_HEADER], ""
    for variable in variables():
        title = "Every process" if len(variable.processes) == len(PROCESSES) else ", ".join(variable.processes)
        if title != section:
            lines.append(f"\n## {title}\n\n| variable | default | meaning |\n|---|---|---|")
            section = title
        default = "required" if variable.default is None else f"`{variable.default}`" if variable.default else "–"
        meaning = ". ".join(part for part in (variable.description, variable.values) if part).replace("|", "\\|")
        lines.append(f"| `{variable.name}` | {default} | {meaning} |")
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    return f"'{value}'" if " " in value else value


def check(root: Path) -> Iterator[Finding]:
    """Report a file that differs from the settings."""
    for name, content in ((FILE, render_env_example()), (PAGE, render_page())):
        file = root / name
        if not file.exists() or file.read_text(encoding="utf-8") != content:
            yield Finding(name, "differs from the settings' fields", "run `python -m checks.env_example`")


VALIDATORS: Sequence[Validator] = (Validator(name="files: .env.example, docs/settings.md", check=check),)


def main() -> int:
    """Update both files."""
    from checks.__main__ import ROOT

    (ROOT / FILE).write_text(render_env_example(), encoding="utf-8")
    (ROOT / PAGE).write_text(render_page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
