"""No user text changes the header section of an email or its recipients."""

from datetime import UTC, datetime
from email.header import decode_header, make_header
from typing import Annotated
from uuid import uuid4

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from shared.messaging import TraceContext
from workers.emails import EmailContent, render_welcome_email
from workers.emails.message import encode_email
from workers.errors import PermanentJobError
from workers.jobs.repository import Claim
from workers.schemas import User
from workers.settings import Settings

from .factories import welcome_email
from .fakes import add_user, body
from .harness import Harness

HEADERS = [
    "To",
    "From",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "X-Trace-Id",
    "MIME-Version",
    "Content-Type",
]
MAIL_FROM: TypeAdapter[str] = TypeAdapter(Annotated[str, Settings.model_fields["mail_from"]])

MAX_LINE_LENGTH = 78
"""Recommended by RFC 5322 §2.1.1."""

ENCODED_BCC = "=?utf-8?q?x=0D=0ABcc:_y=40evil.example=0D=0AX:_?="
ENCODED_RECIPIENT = "=?utf-8?b?eCA8dmljdGltQHRoaXJkLmV4YW1wbGU+?="
HOSTILE_NAMES = [
    ENCODED_BCC,
    ENCODED_RECIPIENT,
    f"Ann {ENCODED_BCC} {ENCODED_BCC}",
    "Lovelace, Ada, Countess, " * 4,
    "x <victim@third.example>, y",
    '"quoted\\" <victim@third.example>',
    "(comment \\",
    "undisclosed: a@evil.example;",
    "a" * 100,
    "漢字" * 50,
]


def claim() -> Claim:
    """Return the claim of a job that sends an email."""
    return Claim(
        job_id=uuid4(),
        type_name="send_welcome_email",
        dedupe_key="welcome:1",
        payload={},
        trace=TraceContext(None),
        waited_s=0.0,
        lease_token=uuid4(),
        attempt=1,
        created_at=datetime(2026, 11, 25, tzinfo=UTC),
    )


def header_fields(content: bytes) -> dict[str, str]:
    """Return the unfolded header fields by name, without the parser that the code under test uses."""
    head = content.decode("ascii").partition("\r\n\r\n")[0]
    fields = [line.split(": ", 1) for line in head.replace("\r\n ", " ").split("\r\n")]
    assert all(len(line) <= MAX_LINE_LENGTH for line in head.split("\r\n"))
    names = [name for name, _ in fields]
    assert names == HEADERS
    return dict(fields)


def decode_words(encoded: str) -> str:
    """Decode the encoded words (RFC 2047) of a header field."""
    return str(make_header(decode_header(encoded)))


class TestEncodeEmail:
    @given(st.text(st.characters(codec="utf-8"), max_size=100))
    @example(ENCODED_BCC)
    @example(ENCODED_RECIPIENT)
    @example("a, " * 33)  # long enough to be folded
    def test_headers_keep_recipient_and_name_for_any_name(self, name: str) -> None:
        user = User(id=uuid4(), email="ada@hopline.example", name=name)
        content = render_welcome_email(user)
        fields = header_fields(encode_email(content, sender="Høpline <shop@hopline.example>", claim=claim()).content)
        phrase, _, address = fields["To"].rpartition("<")
        assert address == "ada@hopline.example>"
        assert decode_words(phrase).strip() == " ".join(name.split())
        assert set(phrase).isdisjoint('<>@,:;"()\\')
        assert decode_words(fields["From"]) == "Høpline <shop@hopline.example>"

    @given(st.text(st.characters(codec="utf-8"), max_size=100))
    @example(ENCODED_BCC)
    @example("total, " * 14)  # long enough to be folded
    def test_header_keeps_the_subject_for_any_text(self, subject: str) -> None:
        expected = " ".join(subject.split())
        content = EmailContent(recipient="a@b.example", recipient_name="Ann", subject=expected, text="t", html="h")
        fields = header_fields(encode_email(content, sender="shop@hopline.example", claim=claim()).content)
        assert decode_words(fields["Subject"]) == expected

    @given(st.text(max_size=60) | st.text('ab@.,:;<>()"\\ \r\n=?q', max_size=30))
    @example("a@b.example, c@d.example")
    @example("a@b.example> <c@d.example")
    @example("a@b.example\r\nBcc: c@d.example")
    @example("änn@hopline.example")
    def test_email_is_rejected_when_its_address_would_be_parsed_differently(self, address: str) -> None:
        content = EmailContent(recipient=address, recipient_name="Ann", subject="s", text="t", html="h")
        try:
            email = encode_email(content, sender="shop@hopline.example", claim=claim())
        except PermanentJobError:
            return
        assert email.recipient == address
        assert header_fields(email.content)["To"] == f"Ann <{address}>"

    @given(st.text(max_size=60) | st.text('ab@.,:;<>()"\\ \r\n=?q_[]', max_size=30))
    @example("shop@mail_relay")
    @example("shop@hopline..example")
    @example("=?utf-8?q?victim=40third.example?=@hopline.example")
    @example("漢字" * 50 + " <shop@hopline.example>")
    def test_email_can_be_encoded_when_the_settings_accept_its_sender(self, sender: str) -> None:
        try:
            MAIL_FROM.validate_python(sender)
        except ValidationError:
            return
        content = EmailContent(recipient="a@b.example", recipient_name="Ann", subject="s", text="t", html="h")
        email = encode_email(content, sender=sender, claim=claim())
        assert header_fields(email.content)["From"].endswith(f"<{email.sender}>")

    def test_email_is_rejected_when_a_header_would_decode_to_another_recipient(self) -> None:
        address = "=?utf-8?q?victim=40third.example?=@hopline.example"
        content = EmailContent(recipient=address, recipient_name="Ann", subject="s", text="t", html="h")
        with pytest.raises(PermanentJobError, match="would be parsed differently"):
            encode_email(content, sender="shop@hopline.example", claim=claim())


@pytest.mark.parametrize("name", HOSTILE_NAMES)
async def test_email_is_sent_only_to_the_user_when_the_name_is_hostile(harness: Harness, name: str) -> None:
    job = welcome_email()
    add_user(harness.users, job.payload.user_id, name=name)
    async with harness.run_worker():
        await harness.add_jobs(job)
        await harness.wait_until_done(1)
    (message,) = harness.mailbox.messages
    assert message.keys()[: len(HEADERS)] == HEADERS
    assert [address.addr_spec for address in message["To"].addresses] == ["ada@hopline.example"]
    assert harness.mailbox.recipients == ["ada@hopline.example"]
    assert " ".join(name.split()) in body(message, "plain")
