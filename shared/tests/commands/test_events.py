"""The commands that list and replay dead letters."""

import asyncio

import pytest

from shared.commands.events import main
from testkit.sample_service import EffectHandler, SampleService
from testkit.waiting import eventually


class Operator:
    """Runs the command of `shared.commands.events` in the environment of the service `samples`."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    async def run(self, *arguments: str) -> tuple[int, str]:
        """Return the exit status, and the text on standard output and standard error."""
        self._capsys.readouterr()
        status = await asyncio.to_thread(main, ["--of", "samples", *arguments])
        printed = self._capsys.readouterr()
        return status, printed.out + printed.err

    async def prints(self, expected: str, *arguments: str) -> bool:
        """Return whether the command prints a text that contains `expected`."""
        return expected in (await self.run(*arguments))[1]


@pytest.fixture
def operator(sample: SampleService, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Operator:
    monkeypatch.setenv("DATABASE_URL", sample.database_url)
    return Operator(capsys)


class TestDeadLetters:
    async def test_dead_letter_is_listed_and_its_event_applied_once_when_the_replay_is_requested_twice(
        self, sample: SampleService, operator: Operator
    ) -> None:
        handler = EffectHandler(failures={1: None})
        await sample.send(1)
        async with sample.consumer(handler, max_attempts=1):
            await eventually(lambda: operator.prints("samples:1", "dead-letters"))
            assert await operator.prints("ValueError: event 1 is rejected", "dead-letters")
            handler.failures.clear()
            for _ in range(2):
                assert (await operator.run("replay", "1"))[0] == 0
            await eventually(lambda: operator.prints("nothing to do", "replay", "1"))
        assert await sample.effects() == [1]

    async def test_list_is_one_line_when_there_are_no_dead_letters(self, operator: Operator) -> None:
        assert await operator.run("dead-letters") == (0, "no dead letters in samples\n")

    async def test_replay_fails_when_the_id_is_unknown(self, operator: Operator) -> None:
        status, printed = await operator.run("replay", "9")
        assert status == 1
        assert printed.startswith("there is no dead letter samples:9: `make dead-letters`")
