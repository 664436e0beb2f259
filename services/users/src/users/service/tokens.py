"""Granting tokens: logging in, refreshing, and the workers' own.

Two things set this apart from the rule that the request owns one transaction. A password takes tens of milliseconds
to verify, and no connection should be held meanwhile. And a reused refresh token is answered by an error, while the
revocation that it causes has to be kept. So each step here has a short transaction of its own, and errors are raised
outside of it.
"""

from datetime import timedelta
from hashlib import sha256
from secrets import token_urlsafe
from uuid import NAMESPACE_URL, UUID, uuid5

import structlog

from shared.addresses import normalised_email
from shared.database import Database
from shared.tokens import Role
from users.errors import IncompleteGrant, RefreshTokenRefused, UnsupportedGrant, WrongCredentials
from users.models import Account
from users.passwords import Passwords
from users.repository import AccountRepository, RefreshTokenRepository, Spent
from users.schemas import AccessToken, TokenPair, TokenRequest
from users.service.access import AccessTokens

log = structlog.get_logger(__name__)

FAMILY_LIFETIME = timedelta(days=30)
"""From the login on; refreshing does not extend it."""

WORKERS_ID = uuid5(NAMESPACE_URL, "https://hopline.example/clients/workers")
"""The subject of the workers' tokens: always the same, and no account's."""


class Tokens:
    """Holds nothing of a request; one serves the whole process."""

    def __init__(self, *, database: Database, passwords: Passwords, access_tokens: AccessTokens) -> None:
        self._database = database
        self._passwords = passwords
        self._access_tokens = access_tokens

    async def grant(self, form: TokenRequest) -> TokenPair:
        """What a user asks for; raises UnsupportedGrant, IncompleteGrant, WrongCredentials, RefreshTokenRefused."""
        match form.grant_type:
            case "password":
                _require(form, "username", "password")
                return await self._log_in(form.username, form.password.get_secret_value())
            case "refresh_token":
                _require(form, "refresh_token")
                return await self._refresh(form.refresh_token.get_secret_value())
        raise UnsupportedGrant("grant_type must be password or refresh_token")

    def grant_to_workers(self, form: TokenRequest) -> AccessToken:
        """An access token with the role `service`; raises UnsupportedGrant.

        No refresh token comes with it: the workers have a secret and can ask again.
        """
        if form.grant_type != "client_credentials":
            raise UnsupportedGrant("grant_type must be client_credentials")
        access_token = self._access_tokens.mint(WORKERS_ID, Role.SERVICE)
        return AccessToken(access_token=access_token, expires_in=self._access_tokens.expires_in)

    async def _log_in(self, username: str, password: str) -> TokenPair:
        with self._passwords.place():
            account = await self._account(username)
            matches, better_hash = await self._passwords.verify(password, account.password_hash if account else None)
        if account is None or not matches:
            log.warning("token_refused", grant="password", user_id=account.id if account else None)
            raise WrongCredentials
        refresh_token = token_urlsafe(32)
        async with self._database.transaction() as session:
            if better_hash:
                await AccountRepository(session=session).replace_hash(account.id, better_hash)
            tokens = RefreshTokenRepository(session=session)
            family_id = await tokens.open_family(account.id, lifetime=FAMILY_LIFETIME)
            await tokens.add(family_id=family_id, token_hash=_hash(refresh_token))
        return self._granted("password", account.id, account.role, refresh_token)

    async def _refresh(self, refresh_token: str) -> TokenPair:
        successor = token_urlsafe(32)
        spent = await self._rotate(_hash(refresh_token), _hash(successor))
        if spent is None:
            log.warning("token_refused", grant="refresh_token")
            raise RefreshTokenRefused
        return self._granted("refresh_token", spent.account_id, spent.role, successor)

    async def _account(self, username: str) -> Account | None:
        try:
            email = normalised_email(username)
        except ValueError:
            return None  # nobody can have registered with it; the caller goes on as for any unknown address
        async with self._database.transaction() as session:
            return await AccountRepository(session=session).by_email(email)

    async def _rotate(self, token_hash: bytes, successor_hash: bytes) -> Spent | None:
        """Trade a live token for its successor, or return None.

        A token that comes a second time was copied, and nobody can tell the thief from the owner: the whole family is
        revoked, and both have to log in (RFC 9700 §4.14.2).
        """
        async with self._database.transaction() as session:
            tokens = RefreshTokenRepository(session=session)
            spent = await tokens.spend(token_hash)
            if spent:
                await tokens.add(family_id=spent.family_id, token_hash=successor_hash)
            elif owner_id := await tokens.revoke_family_of_spent(token_hash):
                log.warning("refresh_reuse_detected", user_id=owner_id)
            return spent

    def _granted(self, grant: str, user_id: UUID, role: Role, refresh_token: str) -> TokenPair:
        structlog.contextvars.bind_contextvars(user_id=str(user_id))
        log.info("token_granted", grant=grant)
        return TokenPair(
            access_token=self._access_tokens.mint(user_id, role),
            expires_in=self._access_tokens.expires_in,
            refresh_token=refresh_token,
        )


def _require(form: TokenRequest, *names: str) -> None:
    missing = [name for name in names if not getattr(form, name)]
    if missing:
        raise IncompleteGrant(*missing)


def _hash(refresh_token: str) -> bytes:
    """A plain SHA-256: unlike a password, 256 random bits cannot be guessed, however fast the hash."""
    return sha256(refresh_token.encode()).digest()
