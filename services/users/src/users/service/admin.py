"""The admin of a development machine."""

import structlog
from pydantic import SecretStr

from shared.database import Database
from shared.tokens import Role
from users.passwords import Passwords
from users.repository import AccountRepository

log = structlog.get_logger(__name__)


async def seed_admin(*, database: Database, passwords: Passwords, email: str, password: SecretStr) -> None:
    """Make sure that an account of this normalised address exists; any number of replicas may try at once.

    One that is there is left as it is: its password may have been changed.
    """
    async with database.transaction() as session:
        if await AccountRepository(session=session).by_email(email):
            return
    with passwords.place():
        password_hash = await passwords.hash(password.get_secret_value())
    async with database.transaction() as session:
        account = await AccountRepository(session=session).add(
            email=email, name="Admin", password_hash=password_hash, role=Role.ADMIN
        )
    if account:
        log.info("admin_seeded", user_id=account.id)
