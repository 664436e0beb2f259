"""Modules create their tracers with `shared.telemetry.spans.get_tracer`.

These tracers use the provider that `shared.telemetry.setup` sets after the import of the modules.
"""

import ast

import pytest

from .emitted import ROOT

FOLDERS = ("packages", "shared", "services", "workers")


def uses_get_tracer_of_opentelemetry(source: str) -> bool:
    """Return whether a module imports `opentelemetry.trace.get_tracer`, or accesses `get_tracer` of any name.

    Any name, because `opentelemetry.trace` can have an alias. The method of a provider that a call returns is allowed.
    """
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(value=ast.Name() | ast.Attribute(), attr="get_tracer"):
                return True
            case ast.ImportFrom(module="opentelemetry.trace", names=names):
                if "get_tracer" in {alias.name for alias in names}:
                    return True
    return False


def test_modules_do_not_use_get_tracer_of_opentelemetry() -> None:
    files = [path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    calling = [
        file.as_posix()
        for file in files
        if "tests" not in file.parts and uses_get_tracer_of_opentelemetry((ROOT / file).read_text(encoding="utf-8"))
    ]
    assert calling == [], (
        "use shared.telemetry.spans.get_tracer: if OTEL_PYTHON_TRACER_PROVIDER is set, OpenTelemetry's get_tracer "
        "creates a provider at import, without the resource and the exporter of this process"
    )


@pytest.mark.parametrize(
    "source",
    [
        "from opentelemetry import trace\ntracer = trace.get_tracer(__name__)",
        "import opentelemetry.trace\ntracer = opentelemetry.trace.get_tracer(__name__)",
        "from opentelemetry import trace as otel_trace\ntracer = otel_trace.get_tracer(__name__)",
        "import opentelemetry.trace as otel_trace\ntracer = otel_trace.get_tracer(__name__)",
        "import opentelemetry as otel\ntracer = otel.trace.get_tracer(__name__)",
        "from opentelemetry.trace import (\n    SpanKind,\n    get_tracer as create,\n)\ntracer = create(__name__)",
    ],
)
def test_use_is_found_when_the_name_is_imported_or_qualified(source: str) -> None:
    assert uses_get_tracer_of_opentelemetry(source)
