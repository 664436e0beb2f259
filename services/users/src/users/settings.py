"""What the users process is told by its environment."""

from typing import Annotated

from pydantic import AfterValidator, EmailStr, Field, SecretStr

from shared.settings import DatabaseSettings, OutboxSettings, RedisSettings, ServiceSettings, TokenSettings
from users.keys import signing_key


class Settings(OutboxSettings, DatabaseSettings, RedisSettings, TokenSettings, ServiceSettings):
    """`signing_key` holds Ed25519 keys in PEM: the first signs, all verify (see `users.keys`).

    `admin_*` are seeded in development only. A process hashes `passwords_at_once` passwords at a time, each in 19 MiB.
    """

    signing_key: Annotated[SecretStr, AfterValidator(signing_key)]
    workers_client_secret: SecretStr = Field(min_length=8)
    admin_email: EmailStr = "admin@hopline.example"
    admin_password: SecretStr = SecretStr("hopline-admin")
    passwords_at_once: int = Field(2, ge=1, le=32)
