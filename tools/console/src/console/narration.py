"""Telling the story of the demo, line by line."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from console.drawing import printable


class Narrator:
    """Prints steps as they are done; on a terminal, what is being waited for is shown meanwhile."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def title(self, text: str) -> None:
        """Open a chapter."""
        self._print(Text(f"\n{printable(text)}", style="bold"))

    def done(self, text: str, note: str = "") -> None:
        """Report a step, with a note in grey."""
        self._print(Text.assemble(("  ✓ ", "green"), printable(text), _aside(note)))

    def arrived(self, after_ms: float, text: str, note: str = "") -> None:
        """Report something that came by itself, and how long after the order."""
        came = (f"{after_ms:8.1f} ms  " if after_ms >= 0 else "    earlier  ", "bold")
        self._print(Text.assemble(("  ← ", "cyan"), came, printable(text), _aside(note)))

    def quoted(self, line: str) -> None:
        """Show a line of something as it is."""
        self._print(Text.assemble(("  │ ", "dim"), printable(line)))

    def pointer(self, what: str, where: str) -> None:
        """Say where to look."""
        self._print(Text.assemble((f"  {what:<12}", "dim"), printable(where)))

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """Show what is being waited for while the block runs; nothing where there is no terminal."""
        if not self.console.is_terminal:
            yield
            return
        with self.console.status(Text(printable(text), style="dim")):
            yield

    def _print(self, line: Text) -> None:
        self.console.print(line, soft_wrap=True)  # an address must stay in one piece


def _aside(note: str) -> tuple[str, str]:
    return (f"  {printable(note)}" if note else "", "dim")
