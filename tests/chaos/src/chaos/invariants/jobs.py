"""Emails, and what waits or was given up."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from chaos.history import History
from chaos.holdings import Event, Holdings, Mail

_FINAL = ("shipped", "cancelled")
_WELCOME, _ORDER = "send_welcome_email", "send_order_email"


def expected_email(event: Event) -> str | None:
    """The dedupe key of the email that an event is followed by, if any."""
    if event.type == "hopline.user.registered.v1":
        return f"{_WELCOME}:{event.user_id}"
    status = event.type.removeprefix("hopline.order.").removesuffix(".v1")
    return f"{_ORDER}:{status}:{event.subject}" if status in {"placed", "shipped", "cancelled"} else None


def one_email_per_key(_history: History, holdings: Holdings) -> Iterator[str]:
    """I5: every event that is followed by an email has one in the mailbox, and there is none without an event.

    Copies of a message count as one where they are the same and no more than the job was tried: a crash between the
    handover and its record leaves nobody knowing (`workers.emails`).
    """
    wanted = {key for event in holdings.events if (key := expected_email(event))}
    ledger = {email.key: email for email in holdings.emails}
    tries = {job.key: job.attempt for job in holdings.jobs}
    copies: defaultdict[str, Counter[Mail]] = defaultdict(Counter)
    for mail in holdings.mailbox:
        copies[mail.message_id][mail] += 1
    for key in sorted(wanted | ledger.keys()):
        if key not in wanted:
            yield f"email unexpected: {key}"
        if key not in ledger or ledger[key].state != "sent":
            yield f"email lost: {key} is {ledger[key].state if key in ledger else 'in no ledger'}"
            continue
        found = copies.pop(ledger[key].message_id, Counter())
        if not found:
            yield f"email lost: {key} is in no mailbox"
        elif len(found) > 1 or found.total() > tries.get(key, 0):
            yield f"email {found.total()} times, {len(found)} different, after {tries.get(key, 0)} tries: {key}"
    yield from (f"email unexpected: {message_id} is in no ledger" for message_id in sorted(copies))


def nothing_is_stuck(_history: History, holdings: Holdings) -> Iterator[str]:
    """I7: no dead letter, no job that is not done, no order that does not come to an end."""
    yield from (f"dead letter: {error}" for error in holdings.dead_letters)
    yield from (f"job {job.key} is {job.state}" for job in holdings.jobs if job.state != "done")
    yield from (f"order {order.id} stays {order.status}" for order in holdings.orders if order.status not in _FINAL)
