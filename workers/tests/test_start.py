import asyncio
import os
import re
import sys

import pytest
from pydantic import ValidationError

from shared.config import CONFIGURATION_ERROR
from testkit.waiting import TIMEOUT_S, eventually

from .harness import Harness, Process


class TestSettings:
    @pytest.mark.parametrize(
        "address",
        [
            "shop",
            "Hopline <shop>",
            "Hopline <@hopline.example>",
            "a@b.example\r\nBcc: c@d.example",
            "shop@mail_relay",
            "shop@[127.0.0.1]",
            "shop@hopline.example.",
            '"the shop"@hopline.example',
            "=?utf-8?q?shop?=@hopline.example",
            f"{'s' * 65}@hopline.example",
        ],
    )
    async def test_settings_are_rejected_when_the_sender_cannot_be_written_in_a_header(
        self, harness: Harness, address: str
    ) -> None:
        with pytest.raises(ValidationError, match="mail_from"):
            harness.settings(mail_from=address)


class TestStart:
    @pytest.mark.parametrize(
        ("variable", "value"),
        [
            ("USERS_URL", ""),
            ("SMTP_PORT", "mail"),
            ("WORKERS_CLIENT_SECRET", "short"),
            ("WORKERS_CLIENT_SECRET", "ein-schlüssel"),
        ],
    )
    async def test_start_fails_with_the_name_of_the_setting_when_it_is_invalid(
        self, harness: Harness, variable: str, value: str
    ) -> None:
        process = await Process.start(harness.environment | {variable: value})
        assert await process.wait() == CONFIGURATION_ERROR
        assert process.output.startswith(f"configuration error: {variable}")
        assert "Traceback" not in process.output

    async def test_report_worker_fails_in_production_when_the_store_is_temporary(self, harness: Harness) -> None:
        production = {"ENVIRONMENT": "production", "OBJECT_STORE_URL": ""}
        process = await Process.start(harness.environment | production, settings="ReportWorkerSettings")
        assert await process.wait() == CONFIGURATION_ERROR
        assert "OBJECT_STORE_URL is rejected below /tmp in production" in process.output

    async def test_start_fails_with_the_connection_budget_when_it_exceeds_the_limit_of_the_server(
        self, harness: Harness
    ) -> None:
        process = await Process.start(harness.environment | {"DATABASE_RESERVE": "100000"})
        assert await process.wait() == CONFIGURATION_ERROR
        assert "configuration error: DATABASE_POOL_SIZE: the processes may open more connections" in process.output
        assert re.search(r"reserve 100000 = 1000\d\d", process.output)  # plus the connections of the pools

    async def test_worker_writes_only_json_and_passes_the_health_check(self, harness: Harness) -> None:
        assert await _run_health_check(harness) == 1, "no worker runs yet"
        async with harness.run_process() as process:

            async def is_healthy() -> bool:
                return await _run_health_check(harness) == 0

            await eventually(is_healthy, timeout=4 * TIMEOUT_S)  # each check starts a process
            assert len(process.log_records()) == len(process.lines)
            assert {record["service"] for record in process.log_records()} == {"workers"}

    async def test_health_key_exists_until_the_next_write_when_the_worker_waits_for_jobs(
        self, harness: Harness
    ) -> None:
        endless_wait = {"wait_s": 3600, "response_timeout_s": 7200}
        async with harness.run_worker(redis_options=endless_wait, shutdown_seconds=1) as worker:

            async def time_to_live_s() -> int:
                return max(int(await harness.redis.ttl(worker.health_check_key)), 0)

            assert await eventually(time_to_live_s) > endless_wait["wait_s"] + worker.health_check_interval - 1

    async def test_arq_uses_uvloop(self, harness: Harness) -> None:
        program = "import arq.worker, workers.main as m; print(type(arq.worker.create_worker(m.WorkerSettings).loop))"
        assert await _run_program(harness, program) == "<class 'uvloop.Loop'>\n"

    async def test_modules_are_not_collected_when_a_worker_exits(self, harness: Harness) -> None:
        """The last callback of `atexit` is the one that was registered first."""
        program = "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count() > 0)); import workers.main"
        assert await _run_program(harness, program) == "True\n"


async def _run_program(harness: Harness, program: str) -> str:
    """Run `python -c program` with the settings of a worker, and return its output."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program,
        env={"PATH": os.environ["PATH"]} | harness.environment,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await child.communicate()
    return output.decode()


async def _run_health_check(harness: Harness) -> int:
    """Run the health check of ARQ, and return its exit status."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "arq", "--check", "workers.main.WorkerSettings",
        env={"PATH": os.environ["PATH"]} | harness.environment,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    return await child.wait()
