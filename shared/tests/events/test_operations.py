"""What operators see of events that could not be applied, and what they can do."""

import asyncio

import pytest

from shared.events.__main__ import main
from testkit.things import Things, Watcher
from testkit.waiting import eventually


class Operator:
    """Runs `python -m shared.events` in a consuming service's environment."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    async def run(self, *arguments: str) -> tuple[int, str]:
        self._capsys.readouterr()
        code = await asyncio.to_thread(main, ["--of", "things", *arguments])
        printed = self._capsys.readouterr()
        return code, printed.out + printed.err

    async def says(self, words: str, *arguments: str) -> bool:
        return words in (await self.run(*arguments))[1]


@pytest.fixture
def operator(things: Things, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Operator:
    monkeypatch.setenv("DATABASE_URL", things.database_url)
    return Operator(capsys)


class TestDeadEvents:
    async def test_are_listed_and_replayed_once(self, things: Things, operator: Operator) -> None:
        watcher = Watcher(failures={1: None})
        await things.send(1)
        async with things.consumer(watcher, max_attempts=1):
            await eventually(lambda: operator.says("things:1", "dead-letters"))
            assert await operator.says("ValueError: no thing 1 today", "dead-letters")
            watcher.failures.clear()
            for _ in range(2):
                assert (await operator.run("replay", "1"))[0] == 0
            await eventually(lambda: operator.says("nothing to do", "replay", "1"))
        assert await things.effects() == [1]

    async def test_without_any_say_so(self, operator: Operator) -> None:
        assert await operator.run("dead-letters") == (0, "no dead events in things\n")

    async def test_unknown_one_gets_one_clear_line(self, operator: Operator) -> None:
        code, said = await operator.run("replay", "9")
        assert code == 1
        assert said.startswith("there is no dead event things:9: `make dead-letters`")
