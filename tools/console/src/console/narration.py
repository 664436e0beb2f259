"""Prints the steps of the demo and the walks."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from console.drawing import replace_unprintable


class Narrator:
    """Prints steps when they are done. On a terminal it shows the awaited condition."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def print_title(self, text: str) -> None:
        """Print a heading."""
        self._print(Text(f"\n{replace_unprintable(text)}", style="bold"))

    def print_step(self, text: str, note: str = "") -> None:
        """Print a completed step, with a note in grey."""
        self._print(Text.assemble(("  ✓ ", "green"), replace_unprintable(text), _note_text(note)))

    def print_arrival(self, after_ms: float, text: str, note: str = "") -> None:
        """Print something that arrived, such as a notification, with the milliseconds since the request."""
        time_ms = (f"{after_ms:8.1f} ms  " if after_ms >= 0 else "    earlier  ", "bold")
        self._print(Text.assemble(("  ← ", "cyan"), time_ms, replace_unprintable(text), _note_text(note)))

    def print_line(self, line: str) -> None:
        """Print a line of other output."""
        self._print(Text.assemble(("  │ ", "dim"), replace_unprintable(line)))

    def print_pointer(self, what: str, where: str) -> None:
        """Print the name and the address of a page, or a command."""
        self._print(Text.assemble((f"  {what:<12}", "dim"), replace_unprintable(where)))

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """Show what the block waits for; print nothing if the output is not a terminal."""
        if not self.console.is_terminal:
            yield
            return
        with self.console.status(Text(replace_unprintable(text), style="dim")):
            yield

    def _print(self, line: Text) -> None:
        self.console.print(line, soft_wrap=True)  # a wrapped address cannot be opened


def _note_text(note: str) -> tuple[str, str]:
    return (f"  {replace_unprintable(note)}" if note else "", "dim")
