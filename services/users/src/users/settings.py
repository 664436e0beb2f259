"""Settings of the users service."""

from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from shared.addresses import deliverable_email
from shared.settings import (
    DatabaseSettings,
    OutboxSettings,
    RedisSettings,
    ServiceSettings,
    TokenSettings,
    load_settings,
)
from users import keys


class Settings(OutboxSettings, DatabaseSettings, RedisSettings, TokenSettings, ServiceSettings):
    """Stores, keys and credentials of the users service."""

    signing_key: Annotated[SecretStr, AfterValidator(keys.signing_key)] = Field(
        description="Ed25519 private keys in PEM: the first signs access tokens, all verify them"
    )
    workers_client_secret: SecretStr = Field(
        min_length=8, description="Client secret by which the workers get access tokens, 8 characters or more"
    )
    admin_email: Annotated[str, AfterValidator(deliverable_email)] = Field(
        "admin@hopline.example", description="Email address of the admin account that is seeded in development"
    )
    admin_password: SecretStr = Field(
        SecretStr("hopline-admin"), description="Password of the admin account that is seeded in development"
    )
    passwords_at_once: int = Field(
        2, ge=1, le=32, description="Concurrent password hashes of one process; each takes 19 MiB of memory"
    )
    max_waiting_passwords: int = Field(
        20,
        ge=1,
        le=1000,
        description="Logins and registrations of one process that wait for a password hash, those under way included; "
        "the rest is rejected at once with 503 too-many-logins",
    )
    password_timeout_seconds: float = Field(
        3.0,
        gt=0,
        le=60,
        description="Time within which a password is hashed, waiting included, in seconds; less than the gateway's "
        "UPSTREAM_SECONDS, so that a client receives 503 too-many-logins and not a timeout",
    )


@lru_cache
def get_settings() -> Settings:
    """Return the process's settings; wrong ones end it with status 4."""
    return load_settings(Settings)
