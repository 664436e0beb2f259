"""Fixtures: an observatory, the console in a separate process, and a fake shop with configurable behaviour."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

import pytest

from console.stack import Stack
from testkit.apps import serve
from testkit.observatory import CreateTelemetry, Observatory, create_telemetry, observatory

from .fake_shop import Behaviour, FakeShop

__all__ = ["create_telemetry", "observatory"]

RunConsole = Callable[..., subprocess.CompletedProcess[str]]
ServeShop = Callable[[Behaviour], AbstractAsyncContextManager[Stack]]


@pytest.fixture
def run_console(observatory: Observatory) -> RunConsole:
    """Return a function that runs `python -m console` with the observatory's ports, piped output and 120 columns."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "console", *arguments],
            env={**os.environ, "COLUMNS": "120", "HOPLINE_PORT_OFFSET": str(observatory.offset), **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def serve_shop(observatory: Observatory, create_telemetry: CreateTelemetry) -> ServeShop:
    """Return a context manager that serves a fake shop with the given behaviour and yields its stack."""

    @asynccontextmanager
    async def serve_behaviour(behaviour: Behaviour) -> AsyncIterator[Stack]:
        shop = FakeShop(behaviour, observatory, create_telemetry)
        async with serve(shop.app()) as url:
            shop.url = url
            yield replace(Stack.from_environment({"HOPLINE_PORT_OFFSET": str(observatory.offset)}), gateway=url)

    return serve_behaviour
