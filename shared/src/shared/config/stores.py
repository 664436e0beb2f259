"""Settings of PostgreSQL, Redis and the object store."""

from pathlib import PurePosixPath
from posixpath import normpath
from typing import Self
from urllib.parse import unquote, urlsplit

from pydantic import (
    AliasChoices,
    AnyHttpUrl,
    Field,
    PostgresDsn,
    RedisDsn,
    SecretStr,
    model_validator,
)
from pydantic_settings import BaseSettings

from shared.config.loading import Environment
from shared.config.process import ServiceSettings
from shared.connections import MAX_OVERFLOW, POOL_SIZE, RESERVE


class DatabaseSettings(BaseSettings):
    """A PostgreSQL database, and the connections to it that this process may open."""

    database_url: PostgresDsn = Field(
        description="PostgreSQL database of the process, for example postgresql://orders:secret@localhost:5432/orders"
    )
    database_pooler_url: PostgresDsn | None = Field(
        None,
        description="PgBouncer in transaction mode, for example postgresql://pgbouncer:6432?sslmode=disable, through "
        "which transactions go; user, password and database are those of DATABASE_URL unless this URL has its own. "
        "DATABASE_URL stays the direct connection for migrations, session advisory locks and LISTEN",
    )
    database_pool_size: int = Field(
        POOL_SIZE, ge=1, le=100, description="Connections that the pool of one process opens on demand and keeps"
    )
    database_max_overflow: int = Field(
        MAX_OVERFLOW,
        ge=0,
        le=100,
        description="Connections beyond the pool; each is opened for one use and then closed",
    )
    database_reserve: int = Field(
        RESERVE,
        ge=0,
        description="Connections of the server that stay free for migrations, backups, monitoring and people with "
        "psql; a part of the sums that `make up`, and each process at its start, compare with the limit of the server",
    )
    database_lock_timeout_ms: int = Field(
        1000,
        ge=1,
        le=10_000,
        description="How long a statement waits for a lock, such as that of a row that another transaction changes, in "
        "milliseconds; after it the response is 503",
    )
    sql_echo: bool = Field(
        False, description="Whether each statement gets a log record with its duration, and without its values"
    )
    slow_statement_ms: float = Field(
        500.0,
        ge=0,
        description="Duration from which a statement gets its own span and a log record, in milliseconds; "
        "0 gives each statement a span and no record",
    )


class RedisSettings(BaseSettings):
    """A server with the Redis protocol."""

    redis_url: RedisDsn = Field(description="Redis-protocol server, for example redis://localhost:6379/0")


class OutboxSettings(BaseSettings):
    """Retention of published events."""

    outbox_retention_days: float = Field(
        7,
        validation_alias=AliasChoices("outbox_retention_days", "outbox_kept_days"),
        ge=0,
        le=3650,
        description="Retention of events that every consumer has acknowledged, in days; a consumer whose database "
        "is restored from a backup that is not older can receive the events since the backup again",
    )


_VISIBLE_ASCII = "^[!-~]*$"
"""Pattern of values in HTTP headers. obstore panics at a line break, which a Kubernetes Secret often has at its end."""


class ObjectStoreSettings(BaseSettings):
    """Storage of files. The `s3_` settings apply to `s3://` URLs."""

    object_store_url: str = Field(
        "file:///tmp/hopline/objects",
        pattern="^(file:///.+|s3://[A-Za-z0-9][A-Za-z0-9._-]*(/[!-~]*)?)$",
        description="Where files are kept: file:///folder, which is created if missing, or s3://bucket/prefix",
    )
    s3_endpoint: AnyHttpUrl | None = Field(None, description="URL of an S3 server other than Amazon's")
    s3_region: str = Field("us-east-1", pattern=_VISIBLE_ASCII, description="Region of the S3 bucket")
    s3_access_key_id: str = Field(
        "", pattern=_VISIBLE_ASCII, description="S3 access key; without it the machine's own identity is used"
    )
    s3_secret_access_key: SecretStr = Field(SecretStr(""), description="Secret of the S3 access key")

    @model_validator(mode="after")
    def _require_the_complete_key(self) -> Self:
        if bool(self.s3_access_key_id) != bool(self.s3_secret_access_key.get_secret_value()):
            raise ValueError("S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY must be set together")
        return self


class PersistentObjectStoreSettings(ObjectStoreSettings, ServiceSettings):
    """For processes that write files or link to them: production requires persistent storage.

    Files below /tmp, the default, are lost with their container.
    """

    @model_validator(mode="after")
    def _require_persistence_in_production(self) -> Self:
        if self.environment is Environment.PRODUCTION and _is_below_tmp(self.object_store_url):
            raise ValueError(
                "OBJECT_STORE_URL is rejected below /tmp in production, because its files would be lost with the "
                "container. Set it to a folder on a volume or to s3://bucket/prefix"
            )
        return self


def _is_below_tmp(url: str) -> bool:
    parts = urlsplit(url)
    folder = normpath("/" + unquote(parts.path).lstrip("/"))
    return parts.scheme == "file" and PurePosixPath(folder).is_relative_to("/tmp")  # noqa: S108 - rejects it
