"""The console's surroundings: a real observatory, and a shop of a few lines that behaves or misbehaves."""

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

from .pretend_shop import Behaviour, PretendShop

__all__ = ["observatory", "telemetry"]

Command = Callable[..., subprocess.CompletedProcess[str]]
OpenShop = Callable[[Behaviour], AbstractAsyncContextManager[Stack]]


@pytest.fixture
def command(observatory: Observatory) -> Command:
    """Run `python -m console` with its output piped, 120 columns wide, beside the observatory."""

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
    """Serve a shop that behaves as told; yields the stack it is part of."""

    @asynccontextmanager
    async def opened(behaviour: Behaviour) -> AsyncIterator[Stack]:
        shop = PretendShop(behaviour, observatory, telemetry)
        async with serve(shop.app()) as url:
            shop.url = url
            yield replace(Stack.from_environment({"HOPLINE_PORT_OFFSET": str(observatory.offset)}), gateway=url)

    return opened
