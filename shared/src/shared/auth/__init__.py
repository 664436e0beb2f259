"""Access tokens: JWTs in the style of RFC 9068 (Ed25519), verified with the published keys of the users service.

Only the users service can issue tokens. Every service verifies the token of the caller itself and does not rely on the
verification of another service.

- `keys`: the key set (RFC 7517), cached and refreshed in the background. An unknown key id triggers a fetch, at most
  every few seconds, so that key rotation needs no restart and forged ids cause no load. New gunicorn workers inherit
  the keys.
- `tokens`: verification, and a cache of verified tokens.
- `dependencies`: FastAPI dependencies for the caller and for roles.
"""

from shared.auth.dependencies import (
    AdminIdentity,
    CurrentIdentity,
    ServiceIdentity,
    current_identity,
    get_identity,
    require_role,
)
from shared.auth.keys import InheritedKeys, JwksCache, KeySource, create_jwks_cache, inherited_keys
from shared.auth.tokens import ALGORITHM, TokenVerifier
from shared.identity import Identity, Role

__all__ = [
    "ALGORITHM",
    "AdminIdentity",
    "CurrentIdentity",
    "Identity",
    "InheritedKeys",
    "JwksCache",
    "KeySource",
    "Role",
    "ServiceIdentity",
    "TokenVerifier",
    "create_jwks_cache",
    "current_identity",
    "get_identity",
    "inherited_keys",
    "require_role",
]
