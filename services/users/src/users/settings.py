"""Settings of the users service."""

from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, AliasChoices, Field, SecretStr

from shared.config import (
    DatabaseSettings,
    OutboxSettings,
    RedisSettings,
    ServiceSettings,
    TokenSettings,
    WorkersClientSettings,
    load_settings,
)
from shared.validation.email_addresses import validate_deliverable_email
from users import keys


class Settings(WorkersClientSettings, OutboxSettings, DatabaseSettings, RedisSettings, TokenSettings, ServiceSettings):
    """Settings of the users service, read from environment variables or files."""

    signing_key: Annotated[SecretStr, AfterValidator(keys.validate_signing_key)] = Field(
        description="Ed25519 private keys in PEM: the first signs access tokens, all verify them"
    )
    admin_email: Annotated[str, AfterValidator(validate_deliverable_email)] = Field(
        "admin@hopline.example", description="Email address of the admin account that is seeded in development"
    )
    admin_password: SecretStr = Field(
        SecretStr("hopline-admin"), description="Password of the admin account that is seeded in development"
    )
    max_concurrent_passwords: int = Field(
        2,
        validation_alias=AliasChoices("max_concurrent_passwords", "passwords_at_once"),
        ge=1,
        le=32,
        description="Concurrent password hashes of one process; each takes 19 MiB of memory",
    )
    max_waiting_passwords: int = Field(
        20,
        ge=1,
        le=1000,
        description="Logins and registrations of one process that wait for a password hash or compute it; "
        "others are rejected with 503 too-many-logins",
    )
    password_timeout_seconds: float = Field(
        3.0,
        gt=0,
        le=60,
        description="Timeout of a password hash including its wait, in seconds; less than the gateway's "
        "UPSTREAM_SECONDS, so that a client receives 503 too-many-logins and not a timeout",
    )


@lru_cache
def get_settings() -> Settings:
    """Return the settings of the process. If they are invalid, the process exits with status 4."""
    return load_settings(Settings)
