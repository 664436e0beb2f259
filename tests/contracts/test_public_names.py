"""Hopline uses only public, documented names of third-party packages."""

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from .public_names import Finding, Project

ROOT = Path(__file__).parents[2]

EXTENDED = re.compile(
    r"(uvicorn|uvicorn_worker|gunicorn|redis|arq|asyncpg|sqlalchemy\.pool|opentelemetry\.(sdk|exporter)"
    r"|structlog|httpx(_aiohttp)?\.\w*Transport)(\.|$)"
)
"""Full names of extension points. Their subclasses depend on undocumented behaviour, so EXTENSIONS must list them."""


@dataclass(frozen=True, kw_only=True)
class Extension:
    """A module that subclasses extension points of the distributions `needs`.

    The pyproject.toml of `package` has version bounds for these distributions. A test in the file `canary` fails if a
    new version breaks the module.
    """

    module: str
    package: str
    needs: tuple[str, ...]
    canary: str


EXTENSIONS = [
    Extension(  # uvicorn's option `http` takes a protocol class
        module="shared/src/shared/server/protocols/http.py",
        package="shared",
        needs=("uvicorn", "httptools"),
        canary="shared/tests/server/test_protocol_members.py",
    ),
    Extension(  # a subclass of that protocol class, which renders problems
        module="shared/src/shared/server/protocols/problems.py",
        package="shared",
        needs=("uvicorn", "httptools"),
        canary="shared/tests/server/test_protocol_members.py",
    ),
    Extension(  # uvicorn's option `ws` takes a protocol class
        module="shared/src/shared/server/protocols/websocket.py",
        package="shared",
        needs=("uvicorn", "websockets"),
        canary="shared/tests/server/test_protocol_members.py",
    ),
    Extension(  # gunicorn's `worker_class`, and the server that uvicorn documents for use from Python
        module="shared/src/shared/server/worker.py",
        package="shared",
        needs=("gunicorn", "uvicorn-worker", "uvicorn"),
        canary="shared/tests/server/test_gunicorn.py",
    ),
    Extension(  # gunicorn's `logger_class`
        module="shared/src/shared/server/gunicorn.py",
        package="shared",
        needs=("gunicorn",),
        canary="shared/tests/server/test_gunicorn.py",
    ),
    Extension(  # asyncpg's `connection_class`
        module="shared/src/shared/db/database.py",
        package="shared",
        needs=("asyncpg",),
        canary="shared/tests/web/test_deadline.py",
    ),
    Extension(  # SQLAlchemy's `poolclass`
        module="shared/src/shared/db/pool.py",
        package="shared",
        needs=("sqlalchemy",),
        canary="shared/tests/db/test_database.py",
    ),
    Extension(  # a transport of httpx
        module="shared/src/shared/faults/transport.py",
        package="shared",
        needs=("httpx",),
        canary="shared/tests/faults/test_faults.py",
    ),
    Extension(  # a transport of httpx
        module="shared/src/shared/http/aiohttp_transport.py",
        package="shared",
        needs=("httpx", "httpx-aiohttp", "aiohttp"),
        canary="shared/tests/http/test_transport.py",
    ),
    Extension(  # a transport of httpx
        module="packages/httpx-httptools/src/httpx_httptools/transport.py",
        package="packages/httpx-httptools",
        needs=("httpx", "httptools"),
        canary="packages/httpx-httptools/tests/test_comparison.py",
    ),
    Extension(  # OpenTelemetry's TracerProvider
        module="packages/otel-lean/src/otel_lean/tracer.py",
        package="packages/otel-lean",
        needs=("opentelemetry-api", "opentelemetry-sdk"),
        canary="packages/otel-lean/tests/test_recording.py",
    ),
    Extension(  # OpenTelemetry's SpanExporter
        module="packages/otel-lean/src/otel_lean/exporter.py",
        package="packages/otel-lean",
        needs=("opentelemetry-sdk", "opentelemetry-proto", "urllib3"),
        canary="packages/otel-lean/tests/test_exporter.py",
    ),
    Extension(  # redis-py's connection class
        module="shared/src/shared/db/redis.py",
        package="shared",
        needs=("redis",),
        canary="shared/tests/errors/test_redis_outages.py",
    ),
    Extension(  # ARQ's `redis_pool`, with redis-py's `Retry` and its pipeline
        module="workers/src/workers/queue/arq_redis.py",
        package="workers",
        needs=("arq", "redis"),
        canary="workers/tests/test_arq_redis.py",
    ),
]

SUBCLASS = "from uvicorn.server import Server\nclass Own(Server):\n    def use(self):\n        "
"""The beginning of a module. A statement of the method follows."""

PRIVATE_NAMES = {
    "from uvicorn._types import ASGISendEvent": "uvicorn._types.ASGISendEvent",
    "from starlette.requests import _utils": "starlette.requests._utils",
    "import opentelemetry.util._decorator": "opentelemetry.util._decorator",
    "import httpx\nhttpx._client": "httpx._client",
    "def use(pool):\n    return pool._max_overflow": "pool._max_overflow",
    "class Own:\n    def use(self):\n        return self.adapted._transaction": "self.adapted._transaction",
    f"{SUBCLASS}return self._captured_signals": "self._captured_signals",
    f"{SUBCLASS}self._captured_signals = []": "Own._captured_signals",
    f"{SUBCLASS}return super()._serve()": "super()._serve",
    f"{SUBCLASS}pass\n    async def _serve(self): ...": "Own._serve",
    "from uvicorn import server\nclass Base(server.Server): ...\nclass Own(Base):\n    _serve = None": "Own._serve",
    "def use(pool):\n    return getattr(pool, '_max_overflow')": "getattr('_max_overflow')",
    "from importlib import import_module\nimport_module('uvicorn._types')": "import_module('uvicorn._types')",
    "def use(pool):\n    return pool.__dict__['_size'], vars(pool)['size']": "pool.__dict__['_size']",
    "from fastapi.dependencies.models import Dependant": "Dependant",
    "def use(scope):\n    return scope['fastapi'].get('effective_route_context')": "effective_route_context",
    "from opentelemetry import trace\ntrace.ProxyTracerProvider()": "ProxyTracerProvider",
    "from opentelemetry.trace import ProxyTracer": "ProxyTracer",
    "KEY = 'structlog_request_id'": "structlog_request_id",
}
"""Modules with one finding, and the name that is found."""

ALLOWED = [
    "from opentelemetry._logs import get_logger\nfrom opentelemetry.sdk._logs.export import BatchLogRecordProcessor",
    "from opentelemetry import _logs\n_logs.get_logger_provider",
    "import os\nos._exit(1)",
    "def use(point):\n    return point._replace(x=1)",
    "class Own:\n    _x = 1\n    def same(self, other):\n        return self._x == other._x",
    "from shared.base import Base\nclass Own(Base):\n    def use(self):\n        return self._kept, super()._kept",
    "from shared.base import _own_helper",
    "import uvicorn\nuvicorn.__version__\ngetattr(uvicorn, '__version__')",
    f"{SUBCLASS}self._master = 1",
    "from structlog.contextvars import bound_contextvars",
]

"""Modules without a finding."""

FindNames = Callable[[str], list[Finding]]


@pytest.fixture
def find_names(tmp_path: Path) -> FindNames:
    """Return a function that searches in a project of two modules: the given source, and `shared.base`."""

    def search(source: str) -> list[Finding]:
        folder = tmp_path / "shared/src/shared"
        folder.mkdir(parents=True)
        (folder / "base.py").write_text("class Base:\n    _kept = 1\n")
        (folder / "module.py").write_text(source)
        return Project(tmp_path).find_names()

    return search


@pytest.fixture(scope="module")
def project() -> Project:
    return Project(ROOT)


def test_only_public_names_are_used(project: Project) -> None:
    found = [str(finding) for finding in project.find_names()]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(("source", "name"), PRIVATE_NAMES.items())
def test_private_name_is_found(find_names: FindNames, source: str, name: str) -> None:
    assert [(finding.file, finding.name) for finding in find_names(source)] == [("shared/src/shared/module.py", name)]


@pytest.mark.parametrize("source", ALLOWED)
def test_public_and_own_names_are_not_found(find_names: FindNames, source: str) -> None:
    assert not find_names(source)


def test_every_subclass_of_an_extension_point_is_listed(project: Project) -> None:
    extending = {
        module.file
        for module in project.modules.values()
        for cls in module.classes.values()
        if any(EXTENDED.match(base) for base in project.resolve_bases(module, cls)[1])
    }
    listed = {extension.module for extension in EXTENSIONS}
    assert extending == listed, "list the module in EXTENSIONS, with a version bound and a canary test"


@pytest.mark.parametrize("extension", EXTENSIONS, ids=lambda extension: extension.module)
def test_extension_has_version_bounds_and_a_canary_test(extension: Extension) -> None:
    project = tomllib.loads((ROOT / extension.package / "pyproject.toml").read_text())["project"]
    requirements = [Requirement(text) for text in project["dependencies"]]
    bounds = {item.name: {part.operator for part in item.specifier} for item in requirements}
    assert all(bounds[name] == {">=", "<"} for name in extension.needs)
    assert "def test_" in (ROOT / extension.canary).read_text()
