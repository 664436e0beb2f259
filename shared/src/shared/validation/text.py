"""Untrusted text: control characters, invisible characters, and escaping for terminals."""

import re
import unicodedata

CONTROL_CHARACTERS = "\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069"
"""C0, DEL and C1, the two line separators, and the bidirectional embeddings, overrides and isolates (UAX #9)."""

_CONTROL = re.compile(f"[{CONTROL_CHARACTERS}]")
_CONTROL_BUT_LAYOUT = re.compile(f"(?![\n\t])[{CONTROL_CHARACTERS}]")

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\u2800\U0001d159]+"
)
"""Default_Ignorable_Code_Point of Unicode 17 (DerivedCoreProperties.txt), and two symbols that render as blanks."""

_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zs", "Zl", "Zp", "Mn", "Mc", "Me"})


def has_control_characters(text: str) -> bool:
    """Return whether `text` has characters that control a terminal, break a line or reverse the text direction."""
    return _CONTROL.search(text) is not None


def is_visible(text: str) -> bool:
    """Return whether `text` has at least one visible character. A combining mark alone is not visible."""
    return any(unicodedata.category(character) not in _INVISIBLE_CATEGORIES for character in _INVISIBLE.sub("", text))


def terminal_line(text: str) -> str:
    r"""Escape control characters for one line of a terminal, as `\u001b`. The escapes are those of JSON."""
    return _CONTROL.sub(_escape, text)


def terminal_text(text: str) -> str:
    """Escape control characters as `terminal_line` does, except line breaks and tabs."""
    return _CONTROL_BUT_LAYOUT.sub(_escape, text)


def storable_text(text: str) -> str:
    r"""Escape NUL and lone surrogates, such as `\u0000` and `\ud800`: PostgreSQL rejects both in text."""
    return text.encode(errors="backslashreplace").decode().replace("\x00", "\\u0000")


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
