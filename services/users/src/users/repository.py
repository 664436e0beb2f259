"""The SQL of this service. All times come from the clock of the database, because the clocks of replicas differ."""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from shared.auth import Role
from users.models import Account, RefreshToken, TokenFamily


class AccountRepository:
    """Reads and writes accounts in the session's transaction."""

    def __init__(self, *, session: AsyncSession) -> None:
        self._session = session

    async def add_account(self, *, email: str, name: str, password_hash: str, role: Role) -> Account | None:
        """Insert an account, or return None if the address is taken. Waits for concurrent inserts."""
        statement = insert(Account).values(email=email, name=name, password_hash=password_hash, role=role)
        statement = statement.on_conflict_do_nothing(index_elements=[Account.email])
        return await self._session.scalar(statement.returning(Account))

    async def find_by_id(self, account_id: UUID) -> Account | None:
        """Return the account, or None."""
        return await self._session.get(Account, account_id)

    async def find_by_email(self, email: str) -> Account | None:
        """Return the account of a normalised email address, or None."""
        return await self._session.scalar(select(Account).where(Account.email == email))

    async def list_by_role(self, role: Role, *, limit: int) -> Sequence[Account]:
        """Return at most `limit` accounts of a role, ordered by email address. Scans the table."""
        query = select(Account).where(Account.role == role).order_by(Account.email).limit(limit)
        return (await self._session.scalars(query)).all()

    async def update_name(self, account_id: UUID, name: str) -> Account | None:
        """Change the name of an account and return the account, or None if it does not exist."""
        return await self._session.scalar(
            update(Account).where(Account.id == account_id).values(name=name).returning(Account)
        )

    async def update_password_hash(self, account_id: UUID, password_hash: str) -> None:
        """Replace the password hash of an account."""
        await self._session.execute(update(Account).where(Account.id == account_id).values(password_hash=password_hash))


class SpentToken(NamedTuple):
    """The family and the owner of a refresh token that has just been spent."""

    family_id: UUID
    account_id: UUID
    role: Role


class RefreshTokenRepository:
    """Reads and writes refresh tokens by their hashes in the session's transaction."""

    def __init__(self, *, session: AsyncSession) -> None:
        self._session = session

    async def create_family(self, account_id: UUID, *, lifetime: timedelta) -> UUID:
        """Create a family that ends after `lifetime`."""
        family = TokenFamily(account_id=account_id, expires_at=func.now() + lifetime)
        self._session.add(family)
        await self._session.flush()
        return family.id

    async def add_token(self, *, family_id: UUID, token_hash: bytes) -> None:
        """Insert a token of the family."""
        await self._session.execute(insert(RefreshToken).values(family_id=family_id, token_hash=token_hash))

    async def spend_token(self, token_hash: bytes) -> SpentToken | None:
        """Spend a valid token, or return None if it is unknown, spent, expired or revoked.

        This is one statement. If two calls are concurrent, the second waits until the first commits, and returns None.
        """
        result = await self._session.execute(
            update(RefreshToken)
            .where(
                RefreshToken.token_hash == token_hash,
                RefreshToken.spent_at.is_(None),
                RefreshToken.family_id == TokenFamily.id,
                TokenFamily.revoked_at.is_(None),
                TokenFamily.expires_at > func.now(),
                TokenFamily.account_id == Account.id,
            )
            .values(spent_at=func.now())
            .returning(TokenFamily.id, Account.id, Account.role)
            .execution_options(synchronize_session=False)
        )
        row = result.one_or_none()
        return SpentToken(*row) if row else None

    async def delete_ended_tokens(self, *, limit: int) -> int:
        """Delete at most `limit` tokens of ended families, and return their number."""
        ended = select(RefreshToken.token_hash).join(TokenFamily).where(TokenFamily.expires_at <= func.now())
        deleted = await self._session.scalars(
            delete(RefreshToken)
            .where(RefreshToken.token_hash.in_(ended.limit(limit)))
            .returning(RefreshToken.token_hash)
        )
        return len(deleted.all())

    async def delete_ended_families(self, *, limit: int) -> int:
        """Delete at most `limit` ended families that have no tokens, and return their number."""
        has_tokens = select(RefreshToken).where(RefreshToken.family_id == TokenFamily.id).exists()
        ended = select(TokenFamily.id).where(TokenFamily.expires_at <= func.now(), ~has_tokens).limit(limit)
        deleted = await self._session.scalars(
            delete(TokenFamily).where(TokenFamily.id.in_(ended)).returning(TokenFamily.id)
        )
        return len(deleted.all())

    async def revoke_family_of_spent_token(self, token_hash: bytes) -> UUID | None:
        """Revoke the family of a token that was spent before. Return the owner's id, or None if nothing was revoked."""
        return await self._revoke_family(RefreshToken.token_hash == token_hash, RefreshToken.spent_at.is_not(None))

    async def revoke_family_of_token(self, token_hash: bytes) -> UUID | None:
        """Revoke the family of a token, spent or not. Return the owner's id, or None if nothing was revoked."""
        return await self._revoke_family(RefreshToken.token_hash == token_hash)

    async def _revoke_family(self, *conditions: ColumnElement[bool]) -> UUID | None:
        return await self._session.scalar(
            update(TokenFamily)
            .where(TokenFamily.id == RefreshToken.family_id, TokenFamily.revoked_at.is_(None), *conditions)
            .values(revoked_at=func.now())
            .returning(TokenFamily.account_id)
            .execution_options(synchronize_session=False)
        )
