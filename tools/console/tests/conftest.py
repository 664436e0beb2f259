"""Fixtures: a real observatory, and a fake shop with configurable behaviour."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

import pytest

from console.stack import Stack
from testkit.apps import serve
from testkit.observatory import MakeTelemetry, Observatory, observatory, telemetry

from .fake_shop import Behaviour, FakeShop

__all__ = ["observatory", "telemetry"]

Command = Callable[..., subprocess.CompletedProcess[str]]
OpenShop = Callable[[Behaviour], AbstractAsyncContextManager[Stack]]


@pytest.fixture
def command(observatory: Observatory) -> Command:
    """Run `python -m console` with the ports of the observatory, piped output and 120 columns."""

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
def open_shop(observatory: Observatory, telemetry: MakeTelemetry) -> OpenShop:
    """Serve a fake shop with this behaviour; yields its stack."""

    @asynccontextmanager
    async def opened(behaviour: Behaviour) -> AsyncIterator[Stack]:
        shop = FakeShop(behaviour, observatory, telemetry)
        async with serve(shop.app()) as url:
            shop.url = url
            yield replace(Stack.from_environment({"HOPLINE_PORT_OFFSET": str(observatory.offset)}), gateway=url)

    return opened
