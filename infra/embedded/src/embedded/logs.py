"""`tail -F` of the processes' logs: the last lines of each, then new lines, also after a rotation.

On a terminal, JSON log records are formatted for reading. If several logs are shown, the process's name precedes each
line. Control characters are always escaped, because the output of a pipe is often shown in a terminal too.
"""

import contextlib
import json
import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TextIO

from embedded.errors import EmbeddedError
from embedded.stack import Stack
from shared.validation.text import terminal_line, terminal_text

POLL_INTERVAL_S = 0.25
_COMMON = {"timestamp", "level", "event", "service"}
_STACKTRACE = "exception.stacktrace"
_EXCEPTION = ("exception.type", "exception.message")
_LEVELS = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "31;1"}


def show(stack: Stack, names: Sequence[str], *, lines: int, follow: bool, out: TextIO = sys.stdout) -> None:
    """Write the last `lines` lines of the named processes' logs, or of all logs, then follow them until interrupted.

    Raises:
        EmbeddedError: there is no such log, or no process was started.
    """
    known = sorted(path.stem for path in stack.logs.glob("*.log")) if stack.logs.exists() else []
    if not known:
        raise EmbeddedError(f"there are no logs in {stack.logs}: `make up` starts Hopline")
    if unknown := set(names) - set(known):
        raise EmbeddedError(
            f"no log of {', '.join(sorted(unknown))} in {stack.logs}: expected one of {', '.join(known)}"
        )
    tails = [Tail(stack.log(name)) for name in names or known]
    prefix = max((len(tail.path.stem) for tail in tails), default=0) if len(tails) > 1 else 0
    with contextlib.ExitStack() as opened:
        for tail in tails:
            opened.callback(tail.close)
            _write(out, tail.path.stem, tail.last(lines), prefix)
        pause = threading.Event()
        while follow:
            out.flush()
            pause.wait(POLL_INTERVAL_S)
            for tail in tails:
                _write(out, tail.path.stem, tail.new(), prefix)


@dataclass
class Tail:
    """A growing file, read up to a position; `rest` is the incomplete last line."""

    path: Path
    file: IO[bytes] | None = field(default=None, init=False)
    rest: bytes = field(default=b"", init=False)

    def last(self, count: int) -> list[str]:
        """Return the last `count` lines, and continue after them."""
        found = self.new()
        return found[-count:] if count else []

    def new(self) -> list[str]:
        """Return the lines completed since the last call, those of a rotated file before those of its successor."""
        read = self.file.read() if self.file else b""
        if self._replaced():
            if self.file:
                read += self.file.read()  # lines written between the read and the check
                self.file.close()
            self.file = self.path.open("rb")
            read += self.file.read()
        *complete, self.rest = (self.rest + read).split(b"\n")
        return [line.decode(errors="replace") for line in complete]

    def close(self) -> None:
        """Close the file."""
        if self.file:
            self.file.close()

    def _replaced(self) -> bool:
        """Return whether the path now names another file than the open one, or the file was truncated."""
        try:
            now = self.path.stat()
        except FileNotFoundError:  # not created yet, or between the two steps of a rotation
            return False
        return self.file is None or now.st_ino != os.fstat(self.file.fileno()).st_ino or now.st_size < self.file.tell()


def _write(out: TextIO, name: str, lines: Sequence[str], prefix: int) -> None:
    lead = f"{name:<{prefix}} | " if prefix else ""
    terminal = out.isatty()
    out.writelines(f"{lead}{_pretty(line) if terminal else terminal_line(line)}\n" for line in lines)


def last_lines(path: Path, count: int, *, since: int = 0) -> list[str]:
    """Return the last lines of a log, after its first `since` bytes, for an error message.

    JSON log records are shortened by `brief`.
    """
    written = path.read_bytes() if path.exists() else b""
    lines = written[since if since <= len(written) else 0 :].decode(errors="replace").splitlines()
    return [brief(line) for line in lines[-count:]]


def brief(line: str) -> str:
    """Return level, event, details and exception of a JSON log record, without the stack trace; other lines unchanged.

    Control characters are escaped in both cases.
    """
    if (record := _record(line)) is None:
        return terminal_line(line)
    hidden = {*_COMMON, *_EXCEPTION, _STACKTRACE}
    details = [f"{key}={value}" for key, value in record.items() if key not in hidden]
    exception = ": ".join(str(record[key]) for key in _EXCEPTION if record.get(key))
    return terminal_line(" ".join([f"{record['level']}: {record['event']}", *details, exception]).rstrip())


def _pretty(line: str) -> str:
    """Return a JSON log record as time, level, event and details in colours; any other line unchanged.

    Control characters are escaped. Only a stack trace has several lines; it contains type and message of the exception.
    """
    if (record := _record(line)) is None:
        return terminal_line(line)
    stacktrace = terminal_text(str(record.pop(_STACKTRACE, "")).rstrip())
    hidden = {*_COMMON, *_EXCEPTION} if stacktrace else _COMMON
    details = "".join(
        f" \x1b[2m{terminal_line(key)}=\x1b[0m{terminal_line(str(value))}"
        for key, value in record.items()
        if key not in hidden
    )
    level = terminal_line(str(record["level"]))
    colour = _LEVELS.get(level.lower(), "0")
    moment = terminal_line(str(record["timestamp"])[11:23])
    shown = f"{moment} \x1b[{colour}m{level:<8}\x1b[0m \x1b[1m{terminal_line(str(record['event']))}\x1b[0m{details}"
    return f"{shown}\n{stacktrace}" if stacktrace else shown


def _record(line: str) -> dict[str, Any] | None:
    """Parse a JSON log record of Hopline; return None for any other line."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and record.keys() >= {"timestamp", "level", "event"} else None
