"""The only SQL. All times are the database's, so that replicas' clocks need not agree."""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from shared.tokens import Role
from users.models import Account, RefreshToken, TokenFamily


class AccountRepository:
    """Accounts, within the transaction of `session`."""

    def __init__(self, *, session: AsyncSession) -> None:
        self._session = session

    async def add(self, *, email: str, name: str, password_hash: str, role: Role) -> Account | None:
        """Insert an account, or return None where the address is taken, also by a transaction still under way."""
        statement = insert(Account).values(email=email, name=name, password_hash=password_hash, role=role)
        statement = statement.on_conflict_do_nothing(index_elements=[Account.email])
        return await self._session.scalar(statement.returning(Account))

    async def by_id(self, account_id: UUID) -> Account | None:
        """The account, or None."""
        return await self._session.get(Account, account_id)

    async def by_email(self, email: str) -> Account | None:
        """The account of a normalised address, or None."""
        return await self._session.scalar(select(Account).where(Account.email == email))

    async def by_role(self, role: Role, *, limit: int) -> Sequence[Account]:
        """At most `limit` accounts of the role, by their address. Scans the table: for calls a day, not a request."""
        query = select(Account).where(Account.role == role).order_by(Account.email).limit(limit)
        return (await self._session.scalars(query)).all()

    async def rename(self, account_id: UUID, name: str) -> Account | None:
        """The renamed account, or None."""
        return await self._session.scalar(
            update(Account).where(Account.id == account_id).values(name=name).returning(Account)
        )

    async def replace_hash(self, account_id: UUID, password_hash: str) -> None:
        """Store the same password under newer parameters."""
        await self._session.execute(update(Account).where(Account.id == account_id).values(password_hash=password_hash))


class Spent(NamedTuple):
    """What a spent refresh token entitles to: one more token of its family, and an access token for its owner."""

    family_id: UUID
    account_id: UUID
    role: Role


class RefreshTokenRepository:
    """Refresh tokens by their hashes, within the transaction of `session`."""

    def __init__(self, *, session: AsyncSession) -> None:
        self._session = session

    async def open_family(self, account_id: UUID, *, lifetime: timedelta) -> UUID:
        """Begin a family that ends after `lifetime`, and remove the same user's that have ended."""
        await self._session.execute(
            delete(TokenFamily).where(TokenFamily.account_id == account_id, TokenFamily.expires_at <= func.now())
        )
        family = TokenFamily(account_id=account_id, expires_at=func.now() + lifetime)
        self._session.add(family)
        await self._session.flush()
        return family.id

    async def add(self, *, family_id: UUID, token_hash: bytes) -> None:
        """Store a token of the family."""
        await self._session.execute(insert(RefreshToken).values(family_id=family_id, token_hash=token_hash))

    async def spend(self, token_hash: bytes) -> Spent | None:
        """Spend a live token, or return None where it is unknown, spent, expired or revoked.

        One statement decides: of two at once, the second waits for the first to commit, and finds the token spent.
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
        return Spent(*row) if row else None

    async def remove_ended(self, *, limit: int) -> int:
        """Remove at most `limit` families that have ended, with all their tokens; how many families."""
        ended = select(TokenFamily.id).where(TokenFamily.expires_at <= func.now()).limit(limit)
        removed = await self._session.scalars(
            delete(TokenFamily).where(TokenFamily.id.in_(ended)).returning(TokenFamily.id)
        )
        return len(removed.all())

    async def revoke_family_of_spent(self, token_hash: bytes) -> UUID | None:
        """Revoke the family of a token that was spent before; its owner's id, or None where nothing was to revoke."""
        return await self._session.scalar(
            update(TokenFamily)
            .where(
                TokenFamily.id == RefreshToken.family_id,
                RefreshToken.token_hash == token_hash,
                RefreshToken.spent_at.is_not(None),
                TokenFamily.revoked_at.is_(None),
            )
            .values(revoked_at=func.now())
            .returning(TokenFamily.account_id)
            .execution_options(synchronize_session=False)
        )
