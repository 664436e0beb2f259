"""Following logs: rotations, incomplete lines, the format on a terminal and in a pipe."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded import logs
from embedded.errors import EmbeddedError
from embedded.stack import Stack


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def tail(tmp_path: Path) -> Iterator[logs.Tail]:
    tail = logs.Tail(tmp_path / "orders.log")
    yield tail
    tail.close()


class TestTail:
    def test_tail_returns_the_last_lines_then_only_new_lines(self, tail: logs.Tail) -> None:
        tail.path.write_text("1\n2\n3\n")
        assert tail.last(2) == ["2", "3"]
        with tail.path.open("a") as file:
            file.write("4\n")
        assert tail.new() == ["4"]
        assert tail.new() == []

    def test_line_is_returned_when_it_is_complete(self, tail: logs.Tail) -> None:
        with tail.path.open("w", buffering=1) as file:
            file.write("one\nhalf ")
            file.flush()
            assert tail.new() == ["one"]
            file.write("a line\n")
        assert tail.new() == ["half a line"]

    def test_tail_returns_all_lines_when_the_file_is_rotated(self, tail: logs.Tail) -> None:
        tail.path.write_text("1\n")
        assert tail.new() == ["1"]
        with tail.path.open("a") as file:
            file.write("2\n")
        tail.path.rename(tail.path.with_suffix(".log.1"))
        tail.path.write_text("3\n")
        assert tail.new() == ["2", "3"]

    def test_tail_returns_lines_when_the_file_is_created_later(self, tail: logs.Tail) -> None:
        assert tail.new() == []
        tail.path.write_text("1\n")
        assert tail.new() == ["1"]


class TestShow:
    @pytest.fixture
    def record(self, stack: Stack) -> str:
        """Write the logs of orders and users; return the JSON record in that of orders."""
        stack.create()
        event = {"timestamp": "2026-11-23T10:11:12.131415Z", "level": "info", "event": "order_placed", "order_id": "7"}
        stack.log("orders").write_text(json.dumps(event) + "\nno JSON\n")
        stack.log("users").write_text("hello\n")
        return json.dumps(event)

    def test_process_name_precedes_lines_when_there_are_several_logs(self, stack: Stack, record: str) -> None:
        out = io.StringIO()
        logs.show(stack, [], lines=10, follow=False, out=out)
        assert out.getvalue() == f"orders | {record}\norders | no JSON\nusers  | hello\n"

    def test_record_is_formatted_on_a_terminal(self, stack: Stack, record: str) -> None:
        out = Terminal()
        logs.show(stack, ["orders"], lines=10, follow=False, out=out)
        first, second = out.getvalue().splitlines()
        assert first.startswith("10:11:12.131 ")
        assert "order_placed" in first
        assert second == "no JSON"

    @pytest.mark.parametrize("out", [io.StringIO(), Terminal()], ids=["pipe", "terminal"])
    def test_control_characters_are_escaped(self, stack: Stack, out: io.StringIO) -> None:
        stack.create()
        hostile = "\x1b]0;owned\x07\x9b31m\x7f\r\u202e\u2066"
        event = {
            "timestamp": "\x1b[2J2026-11-23T10:11:12.131415Z",
            "level": hostile,
            "event": f"{hostile}\nforged line",
            hostile: hostile,
            "nested": [{"\x1b": hostile}],
            "exception.stacktrace": f"Traceback\n{hostile}",
        }
        lines = [json.dumps(event), json.dumps(event, ensure_ascii=False), f"no JSON {hostile}"]
        stack.log("orders").write_text("\n".join(lines), newline="")
        with stack.log("orders").open("a") as file:
            file.write("\n")
        logs.show(stack, ["orders"], lines=10, follow=False, out=out)
        shown = out.getvalue()
        for code in ("\x1b[2m", "\x1b[0m", "\x1b[1m"):  # the viewer's colours
            shown = shown.replace(code, "")
        assert [character for character in shown if not character.isprintable() and character != "\n"] == []
        assert "forged line" not in shown.splitlines()
        if not out.isatty():
            assert json.loads(shown.splitlines()[1]) == event
        assert logs.brief(lines[1]).isprintable()
        assert logs.brief(lines[2]).isprintable()

    def test_unknown_process_is_rejected(self, stack: Stack, record: str) -> None:
        with pytest.raises(EmbeddedError, match="no log of order in"):
            logs.show(stack, ["order"], lines=1, follow=False)

    @pytest.mark.parametrize("names", [[], ["orders"]])
    def test_show_is_rejected_when_nothing_was_started(self, stack: Stack, names: list[str]) -> None:
        with pytest.raises(EmbeddedError, match=r"there are no logs in .*: `make up` starts Hopline"):
            logs.show(stack, names, lines=1, follow=True)


class TestException:
    """Records of an exception, written by the logger of the services."""

    @pytest.fixture
    def failed(self, stack: Stack) -> Stack:
        """A stack in which a job of orders has failed."""
        stack.create()
        program = (
            "import structlog; from shared.logging.setup import configure_logging\n"
            "configure_logging(service='orders')\n"
            "try: int('one')\n"
            "except ValueError: structlog.get_logger('orders').exception('job_failed', attempt=1)\n"
        )
        with stack.log("orders").open("w") as file:
            subprocess.run([sys.executable, "-c", program], stdout=file, check=True, timeout=60)
        return stack

    def test_stack_trace_has_its_own_lines_on_a_terminal(self, failed: Stack) -> None:
        out = Terminal()
        logs.show(failed, ["orders"], lines=10, follow=False, out=out)
        first, *stacktrace = out.getvalue().splitlines()
        assert "job_failed" in first
        assert "attempt=" in first
        assert "exception." not in first
        assert stacktrace[0] == "Traceback (most recent call last):"
        assert stacktrace[-1] == "ValueError: invalid literal for int() with base 10: 'one'"

    def test_last_lines_have_type_and_message_without_the_stack_trace(self, failed: Stack) -> None:
        assert logs.last_lines(failed.log("orders"), 1) == [
            "error: job_failed attempt=1 ValueError: invalid literal for int() with base 10: 'one'"
        ]


class TestLastLines:
    def test_last_lines_are_limited_by_their_number_and_by_the_start_position(self, stack: Stack) -> None:
        stack.create()
        event = {"timestamp": "t", "level": "error", "event": "failed", "service": "orders", "why": "x"}
        stack.log("orders").write_text(f"first\nplain\n{json.dumps(event)}\n")
        assert logs.last_lines(stack.log("orders"), 2) == ["plain", "error: failed why=x"]
        assert len(logs.last_lines(stack.log("orders"), 3, since=len("first\nplain\n"))) == 1
