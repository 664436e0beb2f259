"""The servers of a benchmark, on separate ports, stopped at its end."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Self

from bench.cores import Core, started_on
from bench.processes import Running, start
from testkit.apps import free_port
from testkit.databases import alembic_ini, create_database, migrate
from testkit.servers import PostgresServer, ValkeyServer
from testkit.stack import Stack, running_stack

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""


class Stage:
    """Starts the servers of one benchmark and stops them in reverse order. `folder` contains their data and logs."""

    def __init__(self, *, folder: Path) -> None:
        self.folder = folder
        self._exits = AsyncExitStack()
        self._postgres: PostgresServer | None = None
        self._valkey: ValkeyServer | None = None
        self._redis_databases = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_raised: object) -> None:
        await self._exits.aclose()

    async def open_database(self, service: str) -> str:
        """Create a database with the schema of `service` on the PostgreSQL of this stage. Return its URL.

        PostgreSQL is started if necessary. As in the embedded mode, commits are durable.
        """
        if self._postgres is None:
            self._postgres = PostgresServer(self.folder, durable=True)
            self._exits.callback(self._postgres.stop)
            await asyncio.to_thread(_start_on_load_core, self._postgres)
        url = await create_database(self._postgres.url)
        await asyncio.to_thread(migrate, alembic_ini(ROOT, service), url)
        return url

    async def open_valkey(self) -> str:
        """Start the Valkey of this stage if necessary, and return its URL. It stores nothing on disk."""
        if self._valkey is None:
            self._valkey = ValkeyServer(self.folder)
            self._exits.callback(self._valkey.stop)
            await asyncio.to_thread(_start_on_load_core, self._valkey)
        return self._valkey.url

    async def open_redis_database(self) -> str:
        """Return the URL of an unused database of the Valkey of this stage. A stage has at most 15 of them."""
        self._redis_databases += 1
        return f"{(await self.open_valkey()).removesuffix('/0')}/{self._redis_databases}"

    async def start_stack(self, **settings: str) -> Stack:
        """Start the embedded stack with the variables `settings`. Its telemetry does not pass through this process."""
        context = running_stack(self.folder / "stack", settings=settings, tap=False)
        stack = await asyncio.to_thread(context.__enter__)
        self._exits.push_async_callback(asyncio.to_thread, context.__exit__, None, None, None)
        return stack

    async def start_service(
        self, name: str, *, environment: Mapping[str, str], core: Core | None = Core.SERVER
    ) -> Running:
        """Start one of Hopline's services under gunicorn."""
        return await self.start_module(
            "gunicorn",
            "-c",
            "python:shared.server.gunicorn",
            f"{name}.main:create_app()",
            environment=environment,
            core=core,
        )

    async def start_asgi(
        self, factory: str, *, environment: Mapping[str, str], core: Core | None = Core.SERVER
    ) -> Running:
        """Start the ASGI application of `factory` (`module:function`) with the services' event loop and HTTP parser."""
        port = free_port()
        options = ("--factory", "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--port", str(port))
        return await self.start_module("uvicorn", factory, *options, environment=environment, core=core, port=port)

    async def start_module(
        self,
        module: str,
        *arguments: str,
        environment: Mapping[str, str],
        core: Core | None,
        port: int | None = None,
    ) -> Running:
        """Start `python -m module`, and wait until it listens on HOST and PORT; raises ProcessDidNotStartError."""
        running = self._start(module, *arguments, environment=environment, core=core, port=port or free_port())
        await running.wait_until_listening()
        return running

    def start_without_waiting(
        self, module: str, *arguments: str, environment: Mapping[str, str], core: Core | None = None
    ) -> Running:
        """Start `python -m module` without waiting until it is ready, for a process that does not listen on PORT."""
        return self._start(module, *arguments, environment=environment, core=core, port=free_port())

    def _start(
        self, module: str, *arguments: str, environment: Mapping[str, str], core: Core | None, port: int
    ) -> Running:
        log = self.folder / f"{module}-{port}.log"
        running = start(module, *arguments, environment=environment, core=core, port=port, log=log)
        self._exits.push_async_callback(asyncio.to_thread, running.stop)
        return running


def _start_on_load_core(server: PostgresServer | ValkeyServer) -> None:
    """Start a store on another core than the servers under test. Sets the affinity of the current thread meanwhile."""
    with started_on(Core.LOAD):
        server.start()


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a new folder, and remove it at the end. The account that runs PostgreSQL can reach folders in it."""
    folder = Path(tempfile.mkdtemp(prefix="hopline-bench-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
