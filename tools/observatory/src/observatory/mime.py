"""An email as Mailpit shows it, from the bytes that came by SMTP.

Shapes: axllent/mailpit internal/storage/structs.go. Headers are read leniently: whatever was sent is shown, for the
purpose of this mailbox is to look at what a program sends.
"""

import html
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message
from email.utils import getaddresses, parsedate_to_datetime
from typing import Any, NamedTuple, TypeAlias

Json: TypeAlias = "dict[str, Any]"

_SNIPPET_CHARACTERS = 250
_HEADER_CHARACTERS = 64 * 1024
"""Of one header that are decoded: that takes quadratic time."""
_INVISIBLE = re.compile(r"(?is)<(style|script|head)\b.*?(?:</\1>|\Z)|<!--.*?(?:-->|\Z)")
_TAG = re.compile(r"<[^>]*>?")
"""What is not closed goes on to the end: the rest is not searched again from each further opening."""


class Bodies(NamedTuple):
    """What a reader sees; "" where a message has no such part."""

    text: str
    html: str


def parse(raw: bytes) -> Message:
    """Parse; never raises, defects are the sender's."""
    return message_from_bytes(raw)


def header(message: Message, name: str) -> str:
    """Return the decoded header, "" when absent."""
    return _decoded(str(message.get(name, "")))


def message_id(message: Message) -> str:
    """Return the Message-ID without its angle brackets."""
    return header(message, "Message-ID").strip().strip("<>")


def addresses(message: Message, name: str) -> list[Json]:
    """Return every address of the header as `{Name, Address}`."""
    raw = [str(value)[:_HEADER_CHARACTERS] for value in message.get_all(name, [])]
    try:
        pairs = getaddresses(raw)
    except RecursionError:  # comments within comments
        return []
    return [{"Name": _decoded(person), "Address": address} for person, address in pairs if address]


def sent_at(message: Message, received: datetime) -> datetime:
    """Return the Date header, or when the message came if that is missing or unreadable."""
    try:
        sent = parsedate_to_datetime(str(message["Date"]))
    except (ValueError, TypeError, OverflowError):
        return received
    return sent if sent.tzinfo else sent.replace(tzinfo=UTC)


def bodies(message: Message) -> Bodies:
    """Return the first text and the first HTML part that are not attachments."""
    found = {"text/plain": "", "text/html": ""}
    for part in message.walk():
        kind = part.get_content_type()
        if kind in found and not found[kind] and not _is_attachment(part):
            found[kind] = _decoded_text(part)
    return Bodies(found["text/plain"], found["text/html"])


def attachments(message: Message) -> list[Json]:
    """Describe the attached parts; PartID is the part's place in the message."""
    return [
        {
            "PartID": str(place),
            "FileName": _decoded(part.get_filename() or ""),
            "ContentType": part.get_content_type(),
            "ContentID": header(part, "Content-ID").strip("<>"),
            "Size": len(_content(part)),
        }
        for place, part in _attached(message)
    ]


def snippet(shown: Bodies) -> str:
    """Return the first characters of the text, of the HTML's text when there is none."""
    text = shown.text or html.unescape(_TAG.sub(" ", _INVISIBLE.sub(" ", shown.html)))
    return " ".join(text.split())[:_SNIPPET_CHARACTERS]


def headers(message: Message) -> dict[str, list[str]]:
    """Return every header with all its values."""
    found: dict[str, list[str]] = {}
    for name, value in message.items():
        found.setdefault(name, []).append(_encodable(str(value)))
    return found


def blind_copies(recipients: Sequence[str], message: Message) -> list[Json]:
    """Return the Bcc header's addresses and the recipients of the envelope that no header names."""
    stated = addresses(message, "Bcc")
    named = {item["Address"].lower() for item in (*addresses(message, "To"), *addresses(message, "Cc"), *stated)}
    return stated + [{"Name": "", "Address": item} for item in recipients if item.lower() not in named]


def _attached(message: Message) -> Iterator[tuple[int, Message]]:
    for place, part in enumerate(message.walk()):
        if not part.is_multipart() and _is_attachment(part):
            yield place, part


def _is_attachment(part: Message) -> bool:
    return part.get_content_disposition() == "attachment" or bool(part.get_filename())


def _content(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _decoded_text(part: Message) -> str:
    content = _content(part)
    try:
        return _encodable(content.decode(part.get_content_charset("utf-8"), "replace"))
    except (LookupError, ValueError):  # an unknown character set, or one that cannot replace
        return content.decode("utf-8", "replace")


def _decoded(text: str) -> str:
    text = text[:_HEADER_CHARACTERS]
    try:
        return _encodable(str(make_header(decode_header(text))))
    except (LookupError, ValueError):  # an unknown or wrong character set
        return _encodable(text)


def _encodable(text: str) -> str:
    """Replace what no encoding can write: stray surrogates, which some character sets can produce."""
    return text.encode("utf-8", "replace").decode()
