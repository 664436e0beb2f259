"""Invariants of emails, jobs and dead letters."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from chaos.history import History
from chaos.snapshot import Event, Mail, Snapshot

_FINAL = ("shipped", "cancelled")
_WELCOME, _ORDER = "send_welcome_email", "send_order_email"


def expected_email(event: Event) -> str | None:
    """Return the dedupe key of the email that an event causes, if any."""
    if event.type == "hopline.user.registered.v1":
        return f"{_WELCOME}:{event.user_id}"
    status = event.type.removeprefix("hopline.order.").removesuffix(".v1")
    return f"{_ORDER}:{status}:{event.subject}" if status in {"placed", "shipped", "cancelled"} else None


def one_email_per_key(_history: History, snapshot: Snapshot) -> Iterator[str]:
    """Yield violations of I5: each event that causes an email has one in the mailbox, and each email has an event.

    A crash between sending and recording leaves the result unknown, so the worker sends a copy (`workers.emails`).
    Equal copies count as one email if their number is at most the number of attempts at the job.
    """
    expected = {key for event in snapshot.events if (key := expected_email(event))}
    emails = {email.key: email for email in snapshot.emails}
    attempts = {job.key: job.attempt for job in snapshot.jobs}
    copies: defaultdict[str, Counter[Mail]] = defaultdict(Counter)
    for mail in snapshot.mailbox:
        copies[mail.message_id][mail] += 1
    for key in sorted(expected | emails.keys()):
        if key not in expected:
            yield f"email unexpected: {key}"
        if key not in emails or emails[key].state != "sent":
            yield f"email lost: {key} is {emails[key].state if key in emails else 'not in the table of emails'}"
            continue
        found = copies.pop(emails[key].message_id, Counter())
        if not found:
            yield f"email lost: {key} is not in the mailbox"
        elif len(found) > 1 or found.total() > attempts.get(key, 0):
            yield f"email {found.total()} times, {len(found)} different, after {attempts.get(key, 0)} attempts: {key}"
    yield from (f"email unexpected: {message_id} is not in the table of emails" for message_id in sorted(copies))


def nothing_is_stuck(_history: History, snapshot: Snapshot) -> Iterator[str]:
    """Yield violations of I7: there are no dead letters, and all jobs and orders have reached their final state."""
    yield from (f"dead letter: {error}" for error in snapshot.dead_letters)
    yield from (f"job {job.key} is {job.state}" for job in snapshot.jobs if job.state != "done")
    yield from (f"order {order.id} stays {order.status}" for order in snapshot.orders if order.status not in _FINAL)
