"""Encodes an email as bytes (RFC 5322).

Each attempt of a job creates the same Message-ID, by which duplicates are recognised. Only another domain in MAIL_FROM
changes it. The rest can differ, because an attempt uses the current user, templates and settings.

This module writes the header section itself, with user text as encoded words (RFC 2047) or plain atoms, because
`email.message` parses an assigned value again and would decode encoded words inside user text.
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

from workers.emails.content import EmailContent
from workers.errors import PermanentJobError
from workers.jobs.repository import Claim

TRACE_ID = "X-Trace-Id"
"""Header by which the trace of an email can be found."""

MAX_LOCAL_LENGTH, MAX_ADDRESS_LENGTH = 64, 254
"""Limits of an email address (RFC 5321 §4.5.3.1)."""

LINE_LENGTH = 76
"""Maximum length of a line with an encoded word (RFC 2047 §2)."""

SEVEN_BIT = SMTP.clone(cte_type="7bit")
"""Policy of the body: every server accepts ASCII."""

_ATOMS = re.compile(r"[A-Za-z0-9'-]+(?: [A-Za-z0-9'-]+)*")
"""Atoms, which an address header may contain without quoting (RFC 5322 §3.2.3)."""
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+")
"""A dot-atom at a domain (RFC 5322 §3.4.1), which needs no quoting."""
_PLAIN = re.compile(r"(?:(?!=\?)[ -~])*")
"""ASCII text without anything that looks like an encoded word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedEmail:
    """One email for the SMTP server: the two envelope addresses and the encoded content."""

    message_id: str
    sender: str
    recipient: str
    content: bytes


def parse_sender(sender: str) -> tuple[str, str]:
    """Return the address of `shop@hopline.example` or `Hopline <shop@hopline.example>`, and the From header.

    The settings validate the sender with this function, so that no job can fail because of its sender.

    Raises:
        ValueError: The address is invalid, or a mail program would parse the header differently.
    """
    name, address = parseaddr(sender)
    if len(address) > MAX_ADDRESS_LENGTH or address.find("@") > MAX_LOCAL_LENGTH or not sender.isprintable():
        raise ValueError("The sender is too long or not printable")
    header = _mailbox("From", name, address)
    try:
        as_read = _headers(f"From: {header}\r\n\r\n".encode("ascii"))
    except (MessageError, IndexError) as error:
        raise ValueError("The From header cannot be parsed") from error
    if as_read != (["From"], [], [address]):
        raise ValueError("The From header would be parsed differently")
    return address, header


def encode_email(content: EmailContent, *, sender: str, claim: Claim) -> EncodedEmail:
    """Encode the email. `sender` was validated by `parse_sender`.

    Raises:
        PermanentJobError: A mail program would parse the headers differently, for example with other recipients.
    """
    key = sha256(claim.dedupe_key.encode()).hexdigest()[:32]
    sender_address, sender_header = parse_sender(sender)
    message_id = f"<{key}@{sender_address.rpartition('@')[2]}>"
    body = _body(content, boundary=f"=_{key}")
    try:
        headers = {
            "To": _mailbox("To", content.recipient_name, content.recipient),
            "From": sender_header,
            "Subject": _unstructured("Subject", content.subject),
            "Date": format_datetime(claim.created_at),
            "Message-ID": message_id,
            "Auto-Submitted": "auto-generated",  # RFC 3834: prevents out-of-office replies
            TRACE_ID: trace.format_trace_id(trace.get_current_span().get_span_context().trace_id),
        }
        section = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        encoded = section.encode("ascii") + body.as_bytes()
        as_read = _headers(encoded)
    except (ValueError, MessageError, IndexError):  # the error's text would quote the recipient
        raise PermanentJobError("the recipient's name or address is invalid in a header") from None
    if as_read != ([*headers, *body.keys()], [content.recipient], [sender_address]):
        raise PermanentJobError("the headers would be parsed differently, so the email is not sent")
    return EncodedEmail(message_id=message_id, sender=sender_address, recipient=content.recipient, content=encoded)


def _body(content: EmailContent, *, boundary: str) -> EmailMessage:
    """Return the text and the HTML, with the headers that describe them."""
    body = EmailMessage(policy=SEVEN_BIT)
    body.set_content(content.text)
    body.make_alternative(boundary=boundary)
    body.add_alternative(content.html, subtype="html")
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


def _headers(encoded: bytes) -> tuple[list[str], list[str], list[str]]:
    """Return the names of the headers and the addresses of To and From, as the recipient's program parses them."""
    parsed = BytesHeaderParser(policy=SMTP).parsebytes(encoded)
    return parsed.keys(), _addresses(parsed["To"]), _addresses(parsed["From"])


def _addresses(header: object) -> list[str]:
    addresses = getattr(header, "addresses", ())
    return [address.addr_spec for address in addresses]
