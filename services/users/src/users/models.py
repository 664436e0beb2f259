"""The tables of the database `users`: accounts, families of refresh tokens, and the outbox."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint, Enum, ForeignKey, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.auth import Role
from shared.db.models import COLUMN_TYPES, named_metadata
from shared.messaging import outbox_table


class Base(DeclarativeBase):
    """The declarative base of this service's tables."""

    metadata = named_metadata()
    type_annotation_map = COLUMN_TYPES


outbox_table(Base.metadata)


class Account(Base):
    """A registered user.

    `email` is normalised (`shared.validation.email_addresses`), so its unique constraint also rejects other spellings
    of the same address.
    """

    __tablename__ = "account"
    __table_args__ = (CheckConstraint("role IN ('customer', 'admin')", name="role"),)  # services have no account

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    email: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    password_hash: Mapped[str]
    role: Mapped[Role] = mapped_column(
        Enum(Role, native_enum=False, length=16, values_callable=lambda roles: [role.value for role in roles])
    )
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class TokenFamily(Base):
    """The refresh tokens of one login. Revoking the family revokes all of them.

    A family ends 30 days after the login. Then a cleanup task deletes its tokens and the family.
    """

    __tablename__ = "token_family"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"), index=True)
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class RefreshToken(Base):
    """A refresh token, stored as SHA-256. Spent tokens are kept, so that their reuse is detected."""

    __tablename__ = "refresh_token"

    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    family_id: Mapped[UUID] = mapped_column(ForeignKey("token_family.id", ondelete="CASCADE"), index=True)
    issued_at: Mapped[datetime] = mapped_column(server_default=func.now())
    spent_at: Mapped[datetime | None]
