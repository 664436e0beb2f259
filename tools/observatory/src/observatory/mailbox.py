"""The mailbox: a limited number of emails in the order of arrival; the oldest are evicted first."""

import secrets
import string
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

_ID_ALPHABET = string.ascii_letters + string.digits
_ID_CHARACTERS = 22


@dataclass(slots=True, kw_only=True)
class Mail:
    """One email with its envelope, as received. `read` is set when it is opened."""

    id: str
    received_at: datetime
    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    read: bool = False


class Mailbox:
    """Keeps at most `max_mails` emails and `max_bytes` of their raw messages."""

    def __init__(self, *, max_mails: int, max_bytes: int) -> None:
        self._max_mails = max_mails
        self._max_bytes = max_bytes
        self._mails: OrderedDict[str, Mail] = OrderedDict()
        self.byte_count = 0
        self.accepted = 0
        self.accepted_bytes = 0
        self.deleted = 0

    def __len__(self) -> int:
        return len(self._mails)

    def put(self, *, sender: str, recipients: Sequence[str], raw: bytes) -> Mail:
        """Add an email with a new id, and evict the oldest emails above the limits."""
        mail = Mail(
            id="".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_CHARACTERS)),
            received_at=datetime.now(UTC),
            sender=sender,
            recipients=tuple(recipients),
            raw=raw,
        )
        self._mails[mail.id] = mail
        self.byte_count += len(raw)
        self.accepted += 1
        self.accepted_bytes += len(raw)
        while len(self._mails) > self._max_mails or self.byte_count > self._max_bytes:
            _, oldest = self._mails.popitem(last=False)
            self.byte_count -= len(oldest.raw)
        return mail

    def get(self, mail_id: str) -> Mail | None:
        """Return the email with that id, or the newest for "latest"."""
        if mail_id == "latest":
            return next(self.newest_first(), None)
        return self._mails.get(mail_id)

    def newest_first(self) -> Iterator[Mail]:
        """Yield all emails, the newest first."""
        return reversed(self._mails.values())

    def unread(self) -> int:
        """Return the number of emails that were not opened."""
        return sum(not mail.read for mail in self._mails.values())

    def delete(self, mail_ids: Sequence[str] = ()) -> None:
        """Delete these emails, or all emails if `mail_ids` is empty. Unknown ids are ignored."""
        for mail_id in mail_ids or list(self._mails):
            if mail := self._mails.pop(mail_id, None):
                self.byte_count -= len(mail.raw)
                self.deleted += 1
