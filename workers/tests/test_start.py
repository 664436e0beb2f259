import asyncio
import os
import sys

import pytest
from pydantic import ValidationError

from testkit.waiting import eventually

from .world import Process, World


class TestSettings:
    @pytest.mark.parametrize(
        "address", ["shop", "Hopline <shop>", "Hopline <@hopline.example>", "a@b.example\r\nBcc: c@d.example"]
    )
    async def test_sender_must_be_an_address(self, world: World, address: str) -> None:
        with pytest.raises(ValidationError, match="mail_from"):
            world.settings(mail_from=address)


class TestStart:
    @pytest.mark.parametrize(
        ("variable", "value"), [("USERS_URL", ""), ("SMTP_PORT", "mail"), ("WORKERS_CLIENT_SECRET", "short")]
    )
    async def test_wrong_setting_stops_it_with_its_name(self, world: World, variable: str, value: str) -> None:
        process = await Process.start(world.environment | {variable: value})
        assert await process.wait() == 4
        assert process.output.startswith(f"configuration error: {variable}")
        assert "Traceback" not in process.output

    async def test_reports_that_would_not_last_stop_it_in_production(self, world: World) -> None:
        passing = {"ENVIRONMENT": "production", "OBJECT_STORE_URL": ""}
        process = await Process.start(world.environment | passing, settings="ReportWorkerSettings")
        assert await process.wait() == 4
        assert "OBJECT_STORE_URL is refused below /tmp in production" in process.output

    async def test_pool_beyond_the_server_stops_it_with_the_sum(self, world: World) -> None:
        process = await Process.start(world.environment | {"DATABASE_RESERVE": "100000"})
        assert await process.wait() == 4
        assert "configuration error: DATABASE_POOL_SIZE: 1 workers" in process.output

    async def test_every_line_is_ours_and_the_health_check_answers(self, world: World) -> None:
        assert await _health_check(world) == 1
        async with world.process() as process:

            async def healthy() -> bool:
                return await _health_check(world) == 0

            await eventually(healthy)
            assert len(process.logged()) == len(process.lines)
            assert {line["service"] for line in process.logged()} == {"workers"}

    async def test_arq_finds_the_loop_of_the_services(self, world: World) -> None:
        program = "import arq.worker, workers.main as m; print(type(arq.worker.create_worker(m.WorkerSettings).loop))"
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program,
            env={"PATH": os.environ["PATH"]} | world.environment,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, _ = await child.communicate()
        assert said == b"<class 'uvloop.Loop'>\n"


async def _health_check(world: World) -> int:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "arq", "--check", "workers.main.WorkerSettings",
        env={"PATH": os.environ["PATH"]} | world.environment,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    return await child.wait()
