"""Tracers that are created at import use the provider that `shared.telemetry.setup` sets later."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
IMPLEMENTATION = "packages/otel-lean/src/otel_lean/tracer.py"


def test_modules_create_tracers_by_get_tracer_of_shared() -> None:
    sources = [
        path for folder in ("packages", "shared", "services", "workers") for path in (ROOT / folder).rglob("*.py")
    ]
    calling = {
        path.relative_to(ROOT).as_posix()
        for path in sources
        if "tests" not in path.parts and "trace.get_tracer(" in path.read_text(encoding="utf-8")
    }
    assert calling <= {IMPLEMENTATION}, (
        "use shared.telemetry.spans.get_tracer: with OTEL_PYTHON_TRACER_PROVIDER set, get_tracer loads a provider at "
        "import, which has neither this process's resource nor its exporter"
    )
