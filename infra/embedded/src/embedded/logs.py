"""`tail -F` over the processes' logs: the last lines of each, then new ones as they come, across rotations.

On a terminal JSON lines are shown for people, and every line is led by its process's name if several are shown.
Control characters are escaped everywhere: a pipe often ends in a terminal.
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
from shared.text import terminal_line, terminal_text

BETWEEN_LOOKS_S = 0.25
_COMMON = {"timestamp", "level", "event", "service"}
_LEVELS = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "31;1"}


def show(stack: Stack, names: Sequence[str], *, lines: int, follow: bool, out: TextIO = sys.stdout) -> None:
    """Write the last `lines` of the named processes' logs (none: of all), then follow them until interrupted.

    Raises EmbeddedError where there is no such log, and where nothing has been started that could write any.
    """
    known = sorted(path.stem for path in stack.logs.glob("*.log")) if stack.logs.exists() else []
    if not known:
        raise EmbeddedError(f"there are no logs in {stack.logs}: `make up` starts Hopline")
    if unknown := set(names) - set(known):
        raise EmbeddedError(f"no log of {', '.join(sorted(unknown))} in {stack.logs}: there are {', '.join(known)}")
    tails = [Tail(stack.log(name)) for name in names or known]
    prefix = max((len(tail.path.stem) for tail in tails), default=0) if len(tails) > 1 else 0
    with contextlib.ExitStack() as opened:
        for tail in tails:
            opened.callback(tail.close)
            _write(out, tail.path.stem, tail.last(lines), prefix)
        pause = threading.Event()
        while follow:
            out.flush()
            pause.wait(BETWEEN_LOOKS_S)
            for tail in tails:
                _write(out, tail.path.stem, tail.new(), prefix)


@dataclass
class Tail:
    """One growing file, how far it was read, and the beginning of a line whose end is still to come."""

    path: Path
    file: IO[bytes] | None = field(default=None, init=False)
    rest: bytes = field(default=b"", init=False)

    def last(self, count: int) -> list[str]:
        """Give the last `count` lines and go on from there."""
        found = self.new()
        return found[-count:] if count else []

    def new(self) -> list[str]:
        """Give the lines completed since: of a file that was rotated away first, then of its successor."""
        read = self.file.read() if self.file else b""
        if self._replaced():
            if self.file:
                read += self.file.read()  # what came between reading and looking
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
        """Whether the path names another file than the one that is open, or the same one cut short."""
        try:
            now = self.path.stat()
        except FileNotFoundError:  # not there yet, or between the two steps of a rotation
            return False
        return self.file is None or now.st_ino != os.fstat(self.file.fileno()).st_ino or now.st_size < self.file.tell()


def _write(out: TextIO, name: str, lines: Sequence[str], prefix: int) -> None:
    lead = f"{name:<{prefix}} | " if prefix else ""
    terminal = out.isatty()
    out.writelines(f"{lead}{_pretty(line) if terminal else terminal_line(line)}\n" for line in lines)


def last_words(path: Path, count: int, *, since: int = 0) -> list[str]:
    """Give the last lines of a log, after its first `since` bytes, for an error message.

    Of JSON it gives only what happened, of a traceback only its end.
    """
    written = path.read_bytes() if path.exists() else b""
    lines = written[since if since <= len(written) else 0 :].decode(errors="replace").splitlines()
    return [brief(line) for line in lines[-count:]]


def brief(line: str) -> str:
    """Give what happened of one of our JSON lines; any other line as it is, but for its control characters."""
    if (record := _record(line)) is None:
        return terminal_line(line)
    exception = str(record.pop("exception", "")).strip().splitlines()
    details = [f"{key}={value}" for key, value in record.items() if key not in _COMMON]
    return terminal_line(" ".join([f"{record['level']}: {record['event']}", *details, *exception[-1:]]))


def _pretty(line: str) -> str:
    """Give a JSON line as time, level, event and the rest in colours; give any other line as it is.

    Control characters of the record are escaped; only an exception may have several lines.
    """
    if (record := _record(line)) is None:
        return terminal_line(line)
    exception = terminal_text(str(record.pop("exception", "")))
    details = "".join(
        f" \x1b[2m{terminal_line(key)}=\x1b[0m{terminal_line(str(value))}"
        for key, value in record.items()
        if key not in _COMMON
    )
    level = terminal_line(str(record["level"]))
    colour = _LEVELS.get(level.lower(), "0")
    moment = terminal_line(str(record["timestamp"])[11:23])
    shown = f"{moment} \x1b[{colour}m{level:<8}\x1b[0m \x1b[1m{terminal_line(str(record['event']))}\x1b[0m{details}"
    return f"{shown}\n{exception}" if exception else shown


def _record(line: str) -> dict[str, Any] | None:
    """Read one of our own JSON lines; None for anything else."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and record.keys() >= {"timestamp", "level", "event"} else None
