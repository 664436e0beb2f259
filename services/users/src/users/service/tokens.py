"""Granting tokens: logins, refreshes, and the token of the workers.

Each step has its own short transaction, instead of one transaction per request, for two reasons. First, verifying a
password takes tens of milliseconds, and a request must not hold a connection during that time. Second, the reuse of a
refresh token revokes its family and is an error. The revocation must be committed, so errors are raised outside of the
transactions.
"""

from datetime import timedelta
from hashlib import sha256
from secrets import token_urlsafe
from uuid import NAMESPACE_URL, UUID, uuid5

import structlog

from shared.auth import Role
from shared.db.database import Database
from shared.validation.email_addresses import normalise_email
from users.errors import (
    IncompleteGrantError,
    InvalidRefreshTokenError,
    UnsupportedGrantTypeError,
    WrongCredentialsError,
)
from users.models import Account
from users.passwords import PasswordHasher
from users.repository import AccountRepository, RefreshTokenRepository, SpentToken
from users.schemas import AccessToken, RevocationRequest, TokenPair, TokenRequest
from users.service.access_tokens import AccessTokenIssuer

log = structlog.get_logger(__name__)

REFRESH_LIFETIME = timedelta(days=30)
"""Lifetime of a token family, counted from the login. A refresh does not extend it."""

WORKERS_ID = uuid5(NAMESPACE_URL, "https://hopline.example/clients/workers")
"""The fixed subject of the workers' tokens. No account has this id."""


class TokenService:
    """Grants tokens. One instance serves the whole process."""

    def __init__(self, *, database: Database, passwords: PasswordHasher, access_tokens: AccessTokenIssuer) -> None:
        self._database = database
        self._passwords = passwords
        self._access_tokens = access_tokens

    async def grant_tokens(self, form: TokenRequest) -> TokenPair:
        """Return the tokens of a login or of a refresh.

        Raises:
            UnsupportedGrantTypeError: The grant type is neither `password` nor `refresh_token`.
            IncompleteGrantError: A parameter of the grant type is missing.
            WrongCredentialsError: The email address or the password is wrong.
            InvalidRefreshTokenError: The refresh token is not valid.
        """
        match form.grant_type:
            case "password":
                _require_parameters(form, "username", "password")
                return await self._grant_for_password(form.username, form.password.get_secret_value())
            case "refresh_token":
                _require_parameters(form, "refresh_token")
                return await self._grant_for_refresh_token(form.refresh_token.get_secret_value())
        raise UnsupportedGrantTypeError("grant_type must be password or refresh_token")

    async def revoke_tokens(self, form: RevocationRequest) -> None:
        """Revoke all refresh tokens of the login that a token belongs to. An unknown token is ignored (RFC 7009 §2.2).

        Access tokens stay valid until they expire.
        """
        async with self._database.transaction() as session:
            tokens = RefreshTokenRepository(session=session)
            owner_id = await tokens.revoke_family_of_token(_hash_refresh_token(form.token.get_secret_value()))
        if owner_id:
            log.info("tokens_revoked", user_id=owner_id)

    def grant_service_token(self, form: TokenRequest) -> AccessToken:
        """Return an access token with the role `service`. Raises UnsupportedGrantTypeError.

        The workers get no refresh token, because they can authenticate again with their secret.
        """
        if form.grant_type != "client_credentials":
            raise UnsupportedGrantTypeError("grant_type must be client_credentials")
        access_token = self._access_tokens.issue(WORKERS_ID, Role.SERVICE)
        return AccessToken(access_token=access_token, expires_in=self._access_tokens.expires_in)

    async def _grant_for_password(self, username: str, password: str) -> TokenPair:
        with self._passwords.queue_slot():
            account = await self._find_account(username)
            matches, new_hash = await self._passwords.verify(password, account.password_hash if account else None)
        if account is None or not matches:
            log.warning("token_rejected", grant="password", user_id=account.id if account else None)
            raise WrongCredentialsError
        refresh_token = token_urlsafe(32)
        async with self._database.transaction() as session:
            if new_hash:
                await AccountRepository(session=session).update_password_hash(account.id, new_hash)
            tokens = RefreshTokenRepository(session=session)
            family_id = await tokens.create_family(account.id, lifetime=REFRESH_LIFETIME)
            await tokens.add_token(family_id=family_id, token_hash=_hash_refresh_token(refresh_token))
        return self._token_pair("password", account.id, account.role, refresh_token)

    async def _grant_for_refresh_token(self, refresh_token: str) -> TokenPair:
        successor = token_urlsafe(32)
        spent = await self._rotate_refresh_token(_hash_refresh_token(refresh_token), _hash_refresh_token(successor))
        if spent is None:
            log.warning("token_rejected", grant="refresh_token")
            raise InvalidRefreshTokenError
        return self._token_pair("refresh_token", spent.account_id, spent.role, successor)

    async def _find_account(self, username: str) -> Account | None:
        try:
            email = normalise_email(username)
        except ValueError:
            return None  # no account can have this address
        async with self._database.transaction() as session:
            return await AccountRepository(session=session).find_by_email(email)

    async def _rotate_refresh_token(self, token_hash: bytes, successor_hash: bytes) -> SpentToken | None:
        """Replace a valid token by its successor, or return None.

        A spent token that is used again was copied. The service cannot distinguish the owner from the thief, so it
        revokes the family, and both have to log in (RFC 9700 §4.14.2).
        """
        async with self._database.transaction() as session:
            tokens = RefreshTokenRepository(session=session)
            spent = await tokens.spend_token(token_hash)
            if spent:
                await tokens.add_token(family_id=spent.family_id, token_hash=successor_hash)
            elif owner_id := await tokens.revoke_family_of_spent_token(token_hash):
                log.warning("refresh_reuse_detected", user_id=owner_id)
            return spent

    def _token_pair(self, grant: str, user_id: UUID, role: Role, refresh_token: str) -> TokenPair:
        structlog.contextvars.bind_contextvars(user_id=str(user_id))
        log.info("token_granted", grant=grant)
        return TokenPair(
            access_token=self._access_tokens.issue(user_id, role),
            expires_in=self._access_tokens.expires_in,
            refresh_token=refresh_token,
        )


def _require_parameters(form: TokenRequest, *names: str) -> None:
    missing = [name for name in names if not getattr(form, name)]
    if missing:
        raise IncompleteGrantError(*missing)


def _hash_refresh_token(refresh_token: str) -> bytes:
    """Return the SHA-256 of the token. A fast hash is sufficient, because a token has 256 random bits."""
    return sha256(refresh_token.encode()).digest()
