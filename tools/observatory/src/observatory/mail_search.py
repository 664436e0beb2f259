"""The supported part of Mailpit's search language.

A search has words and "quoted phrases", which must all match. A prefix limits a word to one field (`to:`, `from:`,
`cc:`, `bcc:`, `reply-to:`, `addressed:`, `subject:`, `message-id:`). `is:read`, `is:unread` and `has:attachment` are
supported too. A `-` or `!` before a term negates it.
Reference: https://mailpit.axllent.org/docs/usage/search-filters/.
"""

import re
from collections.abc import Callable
from email.message import Message
from itertools import islice
from typing import Final, TypeAlias

from observatory import mime
from observatory.mailbox import Mail

SUPPORTED: Final = (
    "supported here: words, to: from: cc: bcc: reply-to: addressed: subject: message-id: "
    "is:read is:unread has:attachment, and - or ! before any of them"
)

MAX_TERMS = 20

Predicate: TypeAlias = Callable[[Mail, Message], bool]

_TERM = re.compile(r'([-!]?)((?:[a-z-]+:)?)(?:"([^"]*)"|([^\s"]+))', re.IGNORECASE)
_ADDRESS_HEADERS = ("From", "To", "Cc", "Bcc", "Reply-To")
_HEADERS_BY_PREFIX = {
    "to:": ("To",),
    "from:": ("From",),
    "cc:": ("Cc",),
    "bcc:": ("Bcc",),
    "reply-to:": ("Reply-To",),
    "addressed:": _ADDRESS_HEADERS,
    "subject:": ("Subject",),
    "message-id:": ("Message-ID",),
}
_UNSUPPORTED_PREFIXES = ("tag:", "after:", "before:", "larger:", "smaller:")


class UnsupportedSearchError(ValueError):
    """The search is not supported. The message contains the supported syntax."""


def compile_search(text: str) -> Predicate:
    """Return a function that tests one email. Raises UnsupportedSearchError."""
    predicates = [_compile_term(*found.groups("")) for found in islice(_TERM.finditer(text), MAX_TERMS + 1)]
    if len(predicates) > MAX_TERMS:
        raise UnsupportedSearchError(f"at most {MAX_TERMS} terms are allowed; {SUPPORTED}")
    if not predicates:
        raise UnsupportedSearchError(f"the query is empty; {SUPPORTED}")
    return lambda mail, message: all(accepts(mail, message) for accepts in predicates)


def _compile_term(negation: str, prefix: str, phrase: str, word: str) -> Predicate:
    prefix, text = prefix.lower(), (phrase or word).lower()
    accepts = _state(prefix + text) if prefix in ("is:", "has:") else _contains(prefix, text)
    return (lambda mail, message: not accepts(mail, message)) if negation else accepts


def _state(name: str) -> Predicate:
    match name:
        case "is:read":
            return lambda mail, _: mail.read
        case "is:unread":
            return lambda mail, _: not mail.read
        case "has:attachment" | "has:attachments":
            return lambda _, message: bool(mime.attachments(message))
        case _:
            raise UnsupportedSearchError(f"{name} is not supported; {SUPPORTED}")


def _contains(prefix: str, text: str) -> Predicate:
    if prefix in _UNSUPPORTED_PREFIXES:
        raise UnsupportedSearchError(f"{prefix} is not supported; {SUPPORTED}")
    names = _HEADERS_BY_PREFIX.get(prefix)
    if names is None:  # no prefix, or a word with a colon in it
        return lambda _, message: prefix + text in _searchable_text(message)
    return lambda mail, message: text in _headers(mail, message, names)


def _headers(mail: Mail, message: Message, names: tuple[str, ...]) -> str:
    shown = [mime.header(message, name) for name in names]
    if "Bcc" in names:
        shown.extend(copy["Address"] for copy in mime.blind_copies(mail.recipients, message))
    return "\n".join(shown).lower()


def _searchable_text(message: Message) -> str:
    shown = mime.bodies(message)
    parts = [mime.header(message, name) for name in (*_ADDRESS_HEADERS, "Subject")]
    return " ".join(" ".join([*parts, shown.text or mime.snippet(shown), shown.html]).split()).lower()
