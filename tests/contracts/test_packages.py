"""For each package that Hopline is built on, docs/architecture.md links files that use the package."""

import ast
import re
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/architecture.md"

MODULES = {
    "fastapi": "fastapi",
    "uvicorn": "uvicorn",
    "gunicorn": "gunicorn",
    "sqlalchemy": "sqlalchemy",
    "asyncpg": "asyncpg",
    "alembic": "alembic",
    "redis": "redis",
    "arq": "arq",
    "structlog": "structlog",
    "opentelemetry-instrumentation-fastapi": "opentelemetry.instrumentation.fastapi",
    "opentelemetry-instrumentation-httpx": "opentelemetry.instrumentation.httpx",
    "opentelemetry-exporter-otlp": "opentelemetry.exporter.otlp",
    "httpx": "httpx",
    "locust": "locust",
    "pytest": "pytest",
}
"""The packages that must be listed, and the module of each."""

EXPORTERS = {entry.name: entry.module for entry in entry_points(group="opentelemetry_traces_exporter")}
"""Module by entry point. `shared.telemetry.setup` loads opentelemetry-exporter-otlp by the names of entry points."""


def read_links() -> dict[str, list[str]]:
    """Return the linked files of each row of the table."""
    section = PAGE.read_text(encoding="utf-8").partition("## Where each named package is used")[2].partition("\n#")[0]
    rows = re.findall(r"^\| ([a-z-]+) \|.*\|(.*)\|$", section, re.MULTILINE)
    return {name: re.findall(r"\]\(([^)]+)\)", cell) for name, cell in rows if name != "package"}


def imports_module(source: str, module: str) -> bool:
    """Return whether the source imports the module, or names its exporter."""
    imported: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                imported |= {alias.name for alias in names}
            case ast.ImportFrom(module=str(name), level=0):
                imported.add(name)
            case ast.Constant(value=str(text)) if text in EXPORTERS:
                imported.add(EXPORTERS[text])
    return any(f"{name}.".startswith(f"{module}.") for name in imported)


def test_every_package_is_listed_with_a_file() -> None:
    assert read_links().keys() == MODULES.keys()
    assert all(read_links().values())


@pytest.mark.parametrize(
    ("package", "link"), [(package, link) for package, files in read_links().items() for link in files]
)
def test_linked_file_uses_the_package(package: str, link: str) -> None:
    assert imports_module((PAGE.parent / link).read_text(encoding="utf-8"), MODULES[package])


@pytest.mark.parametrize("source", ["import httpx_aiohttp", "from .httpx import Client", "'httpx'", "import ssl"])
def test_source_does_not_use_the_package_when_it_only_contains_a_similar_name(source: str) -> None:
    assert not imports_module(source, "httpx")
