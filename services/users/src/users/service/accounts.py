"""Accounts: registering, reading and changing them."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog
from opentelemetry import trace

from shared.auth import Role
from users.errors import EmailTakenError, UserNotFoundError
from users.events import UserEvents
from users.models import Account
from users.repository import AccountRepository
from users.schemas import UserUpdate

log = structlog.get_logger(__name__)

MAX_ADMINS = 100
"""Maximum number of admins in a response. A shop has few."""


@dataclass(frozen=True, kw_only=True)
class Registration:
    """An account to create, with its password hash."""

    email: str
    name: str
    password_hash: str


class AccountService:
    """Reads and changes accounts in a transaction that the caller commits."""

    def __init__(self, *, accounts: AccountRepository, events: UserEvents) -> None:
        self._accounts = accounts
        self._events = events

    async def register_account(self, registration: Registration) -> Account:
        """Create an account with the role `customer` and publish its registration. Raises EmailTakenError."""
        account = await self._accounts.add_account(
            email=registration.email,
            name=registration.name,
            password_hash=registration.password_hash,
            role=Role.CUSTOMER,
        )
        if account is None:
            raise EmailTakenError
        await self._events.publish_registered(account)
        user_id = str(account.id)
        structlog.contextvars.bind_contextvars(user_id=user_id)
        trace.get_current_span().set_attribute("user.id", user_id)  # the request has no token yet
        log.info("user_registered")
        return account

    async def get_account(self, user_id: UUID) -> Account:
        """Return the account. Raises UserNotFoundError."""
        return _require_found(await self._accounts.find_by_id(user_id))

    async def list_admins(self) -> Sequence[Account]:
        """Return at most `MAX_ADMINS` admins, ordered by email address."""
        return await self._accounts.list_by_role(Role.ADMIN, limit=MAX_ADMINS)

    async def update_account(self, user_id: UUID, body: UserUpdate) -> Account:
        """Change the account and return it. Raises UserNotFoundError."""
        return _require_found(await self._accounts.update_name(user_id, body.name))


def _require_found(account: Account | None) -> Account:
    if account is None:
        raise UserNotFoundError
    return account
