"""The console's surroundings: a real observatory, and a shop of a few lines that behaves or misbehaves."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

import pytest

from console.stack import Stack
from testkit.apps import serve
from testkit.observatory import MakeTelemetry, Observatory, Telemetry, running_observatory

from .pretend_shop import Behaviour, PretendShop

Command = Callable[..., subprocess.CompletedProcess[str]]
OpenShop = Callable[[Behaviour], AbstractAsyncContextManager[Stack]]


@pytest.fixture(scope="module")
def observatory() -> Iterator[Observatory]:
    with running_observatory() as running:
        yield running


@pytest.fixture
def telemetry() -> Iterator[MakeTelemetry]:
    made: list[Telemetry] = []

    def make(running: Observatory, service: str) -> Telemetry:
        made.append(Telemetry(running, service))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def command(observatory: Observatory) -> Command:
    """Run `python -m console` with its output piped, beside the observatory."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "console", *arguments],
            env={**os.environ, "HOPLINE_PORT_OFFSET": str(observatory.offset), **environment},
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
