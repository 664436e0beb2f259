"""Accounts: registering, reading, changing."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from shared.tokens import Role
from users.errors import EmailTaken, UserNotFound
from users.events import UserEvents
from users.models import Account
from users.repository import AccountRepository
from users.schemas import UserChange

log = structlog.get_logger(__name__)

MOST_ADMINS = 100
"""A bound on the answer: a shop has a handful."""


@dataclass(frozen=True, kw_only=True)
class Registration:
    """An account to create."""

    email: str
    name: str
    password_hash: str


class Accounts:
    """Works within the transaction that `accounts` and `events` share."""

    def __init__(self, *, accounts: AccountRepository, events: UserEvents) -> None:
        self._accounts = accounts
        self._events = events

    async def register(self, registration: Registration) -> Account:
        """Create a customer and tell the others; raises EmailTaken."""
        account = await self._accounts.add(
            email=registration.email,
            name=registration.name,
            password_hash=registration.password_hash,
            role=Role.CUSTOMER,
        )
        if account is None:
            raise EmailTaken
        await self._events.registered(account)
        structlog.contextvars.bind_contextvars(user_id=str(account.id))
        log.info("user_registered")
        return account

    async def get(self, user_id: UUID) -> Account:
        """The account; raises UserNotFound."""
        return _found(await self._accounts.by_id(user_id))

    async def admins(self) -> Sequence[Account]:
        """The first hundred admins, by their address."""
        return await self._accounts.by_role(Role.ADMIN, limit=MOST_ADMINS)

    async def change(self, user_id: UUID, profile: UserChange) -> Account:
        """The changed account; raises UserNotFound."""
        return _found(await self._accounts.rename(user_id, profile.name))


def _found(account: Account | None) -> Account:
    if account is None:
        raise UserNotFound
    return account
