"""Tokens: logging in, refreshing, and the workers' own.

Two things set this apart from the rule that the request owns one transaction. A password takes tens of milliseconds
to verify, and no connection should be held meanwhile. And a reused refresh token is answered by an error, while the
revocation that it causes has to be kept. So each step here has a short transaction of its own, and errors are raised
outside of it.
"""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from secrets import token_urlsafe
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

import structlog

from shared.database import Database
from shared.settings import TokenSettings
from shared.tokens import Role
from users.errors import IncompleteGrant, RefreshTokenRefused, UnsupportedGrant, WrongCredentials
from users.keys import KeyRing
from users.models import Account
from users.passwords import Passwords
from users.repository import AccountRepository, RefreshTokenRepository, Spent
from users.schemas import AccessToken, TokenForm, TokenPair, normalised_email

log = structlog.get_logger(__name__)

ACCESS_LIFETIME = timedelta(minutes=15)
"""How long a revoked login can still act: access tokens are verified without asking anybody."""

FAMILY_LIFETIME = timedelta(days=30)
"""From the login on; refreshing does not extend it."""

WORKERS_ID = uuid5(NAMESPACE_URL, "https://hopline.example/clients/workers")
"""The subject of the workers' tokens: always the same, and no account's."""


class Tokens:
    """Grants tokens signed by `keys` for `settings`' issuer and audience."""

    def __init__(self, *, database: Database, passwords: Passwords, keys: KeyRing, settings: TokenSettings) -> None:
        self._database = database
        self._passwords = passwords
        self._keys = keys
        self._settings = settings

    async def grant(self, form: TokenForm) -> TokenPair:
        """What `POST /tokens` grants; raises UnsupportedGrant, IncompleteGrant and what the grants raise."""
        match form.grant_type:
            case "password":
                _require(form, "username", "password")
                return await self.log_in(form.username, form.password.get_secret_value())
            case "refresh_token":
                _require(form, "refresh_token")
                return await self.refresh(form.refresh_token.get_secret_value())
        raise UnsupportedGrant("grant_type must be password or refresh_token")

    def grant_to_workers(self, form: TokenForm) -> AccessToken:
        """An access token with the role `service`; there is no refresh token, the workers can ask again.

        Raises UnsupportedGrant.
        """
        if form.grant_type != "client_credentials":
            raise UnsupportedGrant("grant_type must be client_credentials")
        return AccessToken(access_token=self._access_token(WORKERS_ID, Role.SERVICE), expires_in=_seconds())

    async def log_in(self, username: str, password: str) -> TokenPair:
        """Begin a family of tokens; raises WrongCredentials, TooManyLogins."""
        account = await self._account(username)
        matches, better_hash = await self._passwords.verify(password, account.password_hash if account else None)
        if account is None or not matches:
            user_id = str(account.id) if account else None
            log.warning("token_refused", grant="password", reason="wrong_credentials", user_id=user_id)
            raise WrongCredentials
        refresh_token = token_urlsafe(32)
        async with self._database.transaction() as session:
            if better_hash:
                await AccountRepository(session=session).replace_hash(account.id, better_hash)
            tokens = RefreshTokenRepository(session=session)
            family_id = await tokens.open_family(account.id, lifetime=FAMILY_LIFETIME)
            await tokens.add(family_id=family_id, token_hash=_hash(refresh_token))
        log.info("token_granted", grant="password", user_id=str(account.id), family_id=str(family_id))
        return self._pair(account.id, account.role, refresh_token)

    async def refresh(self, refresh_token: str) -> TokenPair:
        """Trade a refresh token for a new pair, once; raises RefreshTokenRefused.

        A token that comes a second time was copied, and nobody can tell the thief from the owner: the whole family is
        revoked, and both have to log in (RFC 9700 §4.14.2).
        """
        successor = token_urlsafe(32)
        spent = await self._rotate(_hash(refresh_token), _hash(successor))
        if spent is None:
            log.warning("token_refused", grant="refresh_token", reason="not_valid")
            raise RefreshTokenRefused
        log.info("token_granted", grant="refresh_token", user_id=str(spent.account_id), family_id=str(spent.family_id))
        return self._pair(spent.account_id, spent.role, successor)

    async def _account(self, username: str) -> Account | None:
        try:
            email = normalised_email(username)
        except ValueError:
            return None
        async with self._database.transaction() as session:
            return await AccountRepository(session=session).by_email(email)

    async def _rotate(self, token_hash: bytes, successor_hash: bytes) -> Spent | None:
        async with self._database.transaction() as session:
            tokens = RefreshTokenRepository(session=session)
            spent = await tokens.spend(token_hash)
            if spent:
                await tokens.add(family_id=spent.family_id, token_hash=successor_hash)
            elif owner_id := await tokens.revoke_family_of_spent(token_hash):
                log.warning("refresh_reuse_detected", user_id=str(owner_id))
            return spent

    def _pair(self, user_id: UUID, role: Role, refresh_token: str) -> TokenPair:
        return TokenPair(
            access_token=self._access_token(user_id, role), expires_in=_seconds(), refresh_token=refresh_token
        )

    def _access_token(self, subject: UUID, role: Role) -> str:
        now = datetime.now(UTC)
        return self._keys.sign(
            {
                "sub": str(subject),
                "role": role,
                "iss": self._settings.token_issuer,
                "aud": self._settings.token_audience,
                "iat": now,
                "exp": now + ACCESS_LIFETIME,
                "jti": str(uuid4()),
            }
        )


def _require(form: TokenForm, *names: str) -> None:
    missing = [name for name in names if not getattr(form, name)]
    if missing:
        raise IncompleteGrant(*missing)


def _hash(refresh_token: str) -> bytes:
    """A plain SHA-256: unlike a password, 256 random bits cannot be guessed, however fast the hash."""
    return sha256(refresh_token.encode()).digest()


def _seconds() -> int:
    return int(ACCESS_LIFETIME.total_seconds())
