"""A letter as an RFC 5322 message. The same job gives the same bytes, so that a second copy can be known as one."""

from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from hashlib import sha256

from opentelemetry import trace

from workers.emails.letters import Letter
from workers.errors import JobImpossible
from workers.ledger import Claim

TRACE_ID = "X-Trace-Id"
"""Names the trace that the email belongs to; a developer pastes it into the trace search."""


def compose(letter: Letter, *, sender: str, claim: Claim) -> EmailMessage:
    """Build the message; raises JobImpossible where the recipient cannot be written into a header."""
    key = sha256(claim.dedupe_key.encode()).hexdigest()[:32]
    message = EmailMessage()
    try:
        message["To"] = Address(letter.recipient_name, addr_spec=letter.recipient)
    except (ValueError, MessageError, IndexError):  # what the parser raises depends on what is wrong, and quotes it
        raise JobImpossible("the recipient's address does not fit into a header") from None
    message["From"] = sender
    message["Subject"] = letter.subject
    message["Date"] = format_datetime(claim.created_at)
    message["Message-ID"] = f"<{key}@{parseaddr(sender)[1].rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office replies, please
    message[TRACE_ID] = trace.format_trace_id(trace.get_current_span().get_span_context().trace_id)
    message.set_content(letter.text)
    message.make_alternative(boundary=f"=_{key}")
    message.add_alternative(letter.html, subtype="html")
    return message
