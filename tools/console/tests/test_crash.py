"""`make walk W=crash` with an application, a worker and a Valkey in separate processes."""

from io import StringIO

import pytest
from rich.console import Console

from console.crash import run_crash_scenario
from console.narration import Narrator


async def test_only_the_queue_sends_its_email_when_the_process_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # requests to the own machine use no proxy
    output = StringIO()
    sent = await run_crash_scenario(Narrator(Console(file=output, width=120)))
    assert sent == {"background-tasks": False, "loop-task": False, "queue": True}
    assert output.getvalue().count("response 202") == 3
