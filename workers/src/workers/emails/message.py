"""An email as RFC 5322 bytes. The same job gives the same bytes, so that a copy can be recognised as one.

User text goes into a header as encoded words (RFC 2047) or as plain atoms, never through a parser: `email.message`
parses a value again when it is assigned, and decodes what the text quotes. So the header section is written here.
"""

import re
from dataclasses import dataclass
from email.errors import MessageError
from email.header import Header
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from hashlib import sha256

from opentelemetry import trace

from workers.emails.letters import Letter
from workers.errors import JobImpossible
from workers.ledger import Claim

TRACE_ID = "X-Trace-Id"
"""Names the trace that the email belongs to; a developer pastes it into the trace search."""

LINE_LENGTH = 76
SEVEN_BIT = SMTP.clone(cte_type="7bit")
"""For the body: every server takes ASCII."""

_ATOMS = re.compile(r"[A-Za-z0-9'-]+(?: [A-Za-z0-9'-]+)*")
"""Words that mean themselves in an address header (RFC 5322 §3.2.3)."""
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+")
"""A dot-atom at a domain (RFC 5322 §3.4.1), which an address header holds as it is."""
_PLAIN = re.compile(r"(?:(?!=\?)[ -~])*")
"""ASCII text in which no reader of an unstructured header finds an encoded word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedEmail:
    """One email as it goes to the SMTP server: the envelope's two addresses and the content."""

    message_id: str
    sender: str
    recipient: str
    content: bytes


def encode_email(letter: Letter, *, sender: str, claim: Claim) -> EncodedEmail:
    """Build the email.

    Raises:
        JobImpossible: The headers would not be read as written, for example with other recipients.
    """
    key = sha256(claim.dedupe_key.encode()).hexdigest()[:32]
    sender_name, sender_address = parseaddr(sender)
    message_id = f"<{key}@{sender_address.rpartition('@')[2]}>"
    body = _body(letter, boundary=f"=_{key}")
    try:
        headers = {
            "To": _mailbox("To", letter.recipient_name, letter.recipient),
            "From": _mailbox("From", sender_name, sender_address),
            "Subject": _unstructured("Subject", letter.subject),
            "Date": format_datetime(claim.created_at),
            "Message-ID": message_id,
            "Auto-Submitted": "auto-generated",  # RFC 3834: no out-of-office replies, please
            TRACE_ID: trace.format_trace_id(trace.get_current_span().get_span_context().trace_id),
        }
        section = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        content = section.encode("ascii") + body.as_bytes()
        as_read = _headers(content)
    except (ValueError, MessageError, IndexError):  # depends on what is wrong; the text would quote the recipient
        raise JobImpossible("the recipient does not fit into a header") from None
    if as_read != ([*headers, *body.keys()], [letter.recipient], [sender_address]):
        raise JobImpossible("the email's headers would not be read as written, so it is not sent")
    return EncodedEmail(message_id=message_id, sender=sender_address, recipient=letter.recipient, content=content)


def _body(letter: Letter, *, boundary: str) -> EmailMessage:
    """Return the text and the HTML, with the headers that describe them."""
    body = EmailMessage(policy=SEVEN_BIT)
    body.set_content(letter.text)
    body.make_alternative(boundary=boundary)
    body.add_alternative(letter.html, subtype="html")
    return body


def _mailbox(header: str, name: str, address: str) -> str:
    """Return `name <address>` with the name as atoms or encoded words (RFC 2047 §5, rule 3)."""
    if not _ADDRESS.fullmatch(address):
        raise ValueError("not an address")
    value = Header(header_name=header, maxlinelen=LINE_LENGTH)
    if name:
        value.append(name, "us-ascii" if _ATOMS.fullmatch(name) else "utf-8")
    value.append(f"<{address}>", "us-ascii")
    return value.encode(linesep="\r\n")


def _unstructured(header: str, text: str) -> str:
    charset = "us-ascii" if _PLAIN.fullmatch(text) else "utf-8"
    return Header(text, charset, header_name=header, maxlinelen=LINE_LENGTH).encode(linesep="\r\n")


def _headers(content: bytes) -> tuple[list[str], list[str], list[str]]:
    """Return the names of the headers and the addresses of To and From, as the recipient's program parses them."""
    parsed = BytesHeaderParser(policy=SMTP).parsebytes(content)
    return parsed.keys(), _addresses(parsed["To"]), _addresses(parsed["From"])


def _addresses(header: object) -> list[str]:
    addresses = getattr(header, "addresses", ())
    return [address.addr_spec for address in addresses]
