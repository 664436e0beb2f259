"""Parses an email into the fields of Mailpit's API.

The format follows axllent/mailpit internal/storage/structs.go. Invalid headers are shown too, because the mailbox is
for looking at the emails that a program sends.
"""

import html
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from email.utils import getaddresses, parsedate_to_datetime
from typing import Any, NamedTuple, TypeAlias

Json: TypeAlias = "dict[str, Any]"

_SNIPPET_CHARACTERS = 250
_HEADER_CHARACTERS = 64 * 1024
"""Maximum number of decoded characters of one header, because decoding takes quadratic time."""
_INVISIBLE = re.compile(r"(?is)<(style|script|head)\b.*?(?:</\1>|\Z)|<!--.*?(?:-->|\Z)")
_TAG = re.compile(r"<[^>]*>?")
"""An unclosed tag extends to the end, so that the search does not restart at each further `<`."""


class Bodies(NamedTuple):
    """The text and HTML parts of an email; "" if there is none."""

    text: str
    html: str


class UnreadableEmailError(ValueError):
    """Python's parser cannot read an email. The message contains the reason."""


def parse(raw: bytes) -> Message:
    """Parse an email that `check_readable` accepts. Other defects do not raise."""
    return message_from_bytes(raw)


def check_readable(raw: bytes) -> None:
    """Parse an email and read its parts. Raises UnreadableEmailError if Python's parser fails."""
    try:
        message = parse(raw)
        bodies(message)
        attachments(message)
    except RecursionError:
        raise UnreadableEmailError("parts nested too deeply") from None
    except TypeError:  # the parser sorts the sections of a parameter, but `name*=` has no number
        raise UnreadableEmailError("a parameter has a whole value and sections (RFC 2231 section 3)") from None


def header(message: Message, name: str) -> str:
    """Return the decoded header, "" if it is missing."""
    return _decoded(str(message.get(name, "")))


def message_id(message: Message) -> str:
    """Return the Message-ID without its angle brackets."""
    return header(message, "Message-ID").strip().strip("<>")


def addresses(message: Message, name: str) -> list[Json]:
    """Return every address of the header as `{Name, Address}`."""
    raw = [str(value)[:_HEADER_CHARACTERS] for value in message.get_all(name, [])]
    try:
        pairs = getaddresses(raw)
    except RecursionError:  # nested comments
        return []
    return [{"Name": _decoded(display_name), "Address": address} for display_name, address in pairs if address]


def sent_at(message: Message, received_at: datetime) -> datetime:
    """Return the Date header, or the time of arrival if the header is missing or invalid."""
    try:
        sent = parsedate_to_datetime(str(message["Date"]))
    except (ValueError, TypeError, OverflowError):
        return received_at
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
    """Return the attached parts. PartID is the index of the part in the message."""
    return [
        {
            "PartID": str(index),
            "FileName": _decoded(part.get_filename() or ""),
            "ContentType": part.get_content_type(),
            "ContentID": header(part, "Content-ID").strip("<>"),
            "Size": len(_content(part)),
        }
        for index, part in _attached(message)
    ]


def snippet(body: Bodies) -> str:
    """Return the first characters of the text part, or of the HTML's text if there is no text part."""
    text = body.text or html.unescape(_TAG.sub(" ", _INVISIBLE.sub(" ", body.html)))
    return " ".join(text.split())[:_SNIPPET_CHARACTERS]


def headers(message: Message) -> dict[str, list[str]]:
    """Return every header with all its values."""
    found: dict[str, list[str]] = {}
    for name, value in message.items():
        found.setdefault(name, []).append(_encodable(str(value)))
    return found


def blind_copies(recipients: Sequence[str], message: Message) -> list[Json]:
    """Return the addresses of the Bcc header, and the recipients of the envelope that are in no header."""
    in_header = addresses(message, "Bcc")
    named = {item["Address"].lower() for item in (*addresses(message, "To"), *addresses(message, "Cc"), *in_header)}
    return in_header + [{"Name": "", "Address": item} for item in recipients if item.lower() not in named]


def _attached(message: Message) -> Iterator[tuple[int, Message]]:
    for index, part in enumerate(message.walk()):
        if not part.is_multipart() and _is_attachment(part):
            yield index, part


def _is_attachment(part: Message) -> bool:
    return part.get_content_disposition() == "attachment" or bool(part.get_filename())


def _content(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _decoded_text(part: Message) -> str:
    content = _content(part)
    try:
        return _encodable(content.decode(part.get_content_charset("utf-8"), "replace"))
    except (LookupError, ValueError):  # an unknown character set, or one that cannot replace errors
        return content.decode("utf-8", "replace")


def _decoded(text: str) -> str:
    text = text[:_HEADER_CHARACTERS]
    try:
        return _encodable(str(make_header(decode_header(text))))
    except (LookupError, ValueError, HeaderParseError):  # a wrong character set, or invalid base64
        return _encodable(text)


def _encodable(text: str) -> str:
    """Replace lone surrogates, which cannot be encoded and which some character sets produce."""
    return text.encode("utf-8", "replace").decode()
