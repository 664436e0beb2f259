"""The mailer if a job is cancelled, and the SMTP client if a server does not respond to QUIT."""

import asyncio
from uuid import uuid4

import pytest

from testkit.waiting import eventually
from workers.emails import Mailer, SmtpServer, render_welcome_email
from workers.emails.content import EmailContent
from workers.emails.message import encode_email
from workers.emails.smtp import QUIT_TIMEOUT_S
from workers.jobs.repository import Claim, JobRepository
from workers.schemas import User

from .factories import welcome_email
from .harness import Harness

SENDER = "shop@hopline.example"


async def claim_email(harness: Harness) -> tuple[Claim, EmailContent]:
    """Add and claim a job that sends an email. Return the claim and the content of the email."""
    job = welcome_email()
    (queued,) = await harness.add_jobs(job)
    async with harness.database.transaction() as session:
        claim = await JobRepository(session=session).claim(queued.job_id, type_name=queued.type_name, lease_s=60)
    assert claim is not None
    user = User(id=uuid4(), email="ada@hopline.example", name="Ada")
    return claim, render_welcome_email(user)


class TestCancelledJob:
    async def test_dialogue_is_finished_when_the_job_is_cancelled_repeatedly(self, harness: Harness) -> None:
        claim, content = await claim_email(harness)
        smtp = SmtpServer(host="127.0.0.1", port=harness.mailbox.port, sender=SENDER)
        harness.mailbox.open.clear()
        mailer = Mailer(database=harness.database, smtp=smtp, max_concurrent_sends=1)
        sending = asyncio.create_task(mailer.send(content, claim=claim))
        await eventually(lambda: harness.mailbox.waiting == 1)
        for _ in range(3):
            sending.cancel()
            await asyncio.sleep(0)
        harness.mailbox.open.set()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert [email.state for email in await harness.list_emails()] == ["sent"]
        assert len(harness.mailbox.messages) == 1


class TestQuit:
    async def test_email_is_accepted_when_the_server_does_not_respond_to_quit(self, harness: Harness) -> None:
        claim, content = await claim_email(harness)
        harness.mailbox.quit_open.clear()
        timeout_s = QUIT_TIMEOUT_S - 0.1  # the wait for QUIT does not count toward it
        smtp = SmtpServer(host="127.0.0.1", port=harness.mailbox.port, sender=SENDER, timeout_s=timeout_s)
        await smtp.hand_over(encode_email(content, sender=SENDER, claim=claim))
        assert len(harness.mailbox.messages) == 1
