"""The admin account of a development environment."""

import structlog
from pydantic import SecretStr

from shared.auth import Role
from shared.db.database import Database
from users.passwords import PasswordHasher
from users.repository import AccountRepository

log = structlog.get_logger(__name__)


async def seed_admin(*, database: Database, passwords: PasswordHasher, email: str, password: SecretStr) -> None:
    """Create an admin account with this normalised email address. Replicas may call this concurrently.

    An existing account with this address is not changed, because the admin may have changed its password.
    """
    async with database.transaction() as session:
        if await AccountRepository(session=session).find_by_email(email):
            return
    password_hash = await passwords.hash_at_start(password.get_secret_value())
    async with database.transaction() as session:
        account = await AccountRepository(session=session).add_account(
            email=email, name="Admin", password_hash=password_hash, role=Role.ADMIN
        )
    if account:
        log.info("admin_seeded", user_id=account.id)
