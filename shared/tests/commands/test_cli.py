"""The exit status and the messages of command line programs."""

import pytest

from shared.commands.cli import CommandError, run_command


async def fail(error: Exception) -> str:
    raise error


class TestRunCommand:
    @pytest.mark.parametrize(
        ("error", "printed"),
        [
            (CommandError("there is no job 7"), "there is no job 7"),
            (TimeoutError(), "the database failed: TimeoutError"),
            (ConnectionRefusedError("refused\nby the host"), "the database failed: refused"),
        ],
        ids=["command", "without a message", "several lines"],
    )
    def test_error_is_printed_as_one_line_on_standard_error(
        self, error: Exception, printed: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run_command(fail(error)) == 1
        assert capsys.readouterr() == ("", f"{printed}\n")
