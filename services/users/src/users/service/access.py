"""Access tokens: what is in them, and for how long."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from shared.settings import TokenSettings
from shared.tokens import Role
from users.keys import KeyRing

LIFETIME = timedelta(minutes=15)
"""Also how long a revoked login can still act: every service verifies access tokens without asking anybody."""


class AccessTokens:
    """Mints tokens signed by `keys` for the issuer and audience of `settings` (after RFC 9068)."""

    expires_in = int(LIFETIME.total_seconds())

    def __init__(self, *, keys: KeyRing, settings: TokenSettings) -> None:
        self._keys = keys
        self._issuer = settings.token_issuer
        self._audience = settings.token_audience

    def mint(self, subject: UUID, role: Role) -> str:
        """A token that says who the bearer is; whoever holds it, is it."""
        now = datetime.now(UTC)
        return self._keys.sign(
            {
                "sub": str(subject),
                "role": role,
                "iss": self._issuer,
                "aud": self._audience,
                "iat": now,
                "exp": now + LIFETIME,
                "jti": str(uuid4()),
            }
        )
