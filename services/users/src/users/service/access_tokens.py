"""The content and the lifetime of access tokens."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from shared.auth import Role
from shared.config import TokenSettings
from users.keys import KeyRing

ACCESS_TOKEN_LIFETIME = timedelta(minutes=15)
"""Access tokens stay valid after a login is revoked, because services verify them without a request to users."""


class AccessTokenIssuer:
    """Issues tokens signed by `keys` for the issuer and audience of `settings` (RFC 9068)."""

    expires_in = int(ACCESS_TOKEN_LIFETIME.total_seconds())

    def __init__(self, *, keys: KeyRing, settings: TokenSettings) -> None:
        self._keys = keys
        self._issuer = settings.token_issuer
        self._audience = settings.token_audience

    def issue(self, subject: UUID, role: Role) -> str:
        """Return a bearer token for a subject with a role."""
        now = datetime.now(UTC)
        return self._keys.sign(
            {
                "sub": str(subject),
                "role": role,
                "iss": self._issuer,
                "aud": self._audience,
                "iat": now,
                "exp": now + ACCESS_TOKEN_LIFETIME,
                "jti": str(uuid4()),
            }
        )
