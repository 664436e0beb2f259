"""What the worker reads from its environment."""

from email.utils import parseaddr
from typing import Annotated

from pydantic import AfterValidator, AnyHttpUrl, Field, SecretStr

from shared.settings import (
    DatabaseSettings,
    LastingObjectStoreSettings,
    ObjectStoreSettings,
    RedisSettings,
    ServiceSettings,
)


def _mailbox(value: str) -> str:
    """Accept `shop@hopline.example` and `Hopline <shop@hopline.example>`, on one line."""
    local, _, domain = parseaddr(value)[1].rpartition("@")
    if not local or not domain or not value.isprintable():
        raise ValueError("must be an address such as 'Hopline <shop@hopline.example>'")
    return value


class Settings(ObjectStoreSettings, DatabaseSettings, RedisSettings, ServiceSettings):
    """The worker's settings; durations are in seconds.

    `job_lease_seconds` is how long a job stays with a worker that gives no sign of life; a killed worker's jobs are
    taken up after at most that plus `sweep_seconds`. `smtp_connections` bounds the sends at once: each holds a
    database connection, so it must stay below the pool's size. `shutdown_seconds` is what jobs in hand get to finish.
    A worker has `max_jobs` in hand, one for reports `reports_at_once`, some 20 MB each.
    `schedule_seconds` is how late a slot may become a job, `jobs_kept_days` how long a done job is remembered.
    """

    users_url: AnyHttpUrl
    orders_url: AnyHttpUrl
    notifications_url: AnyHttpUrl
    workers_client_secret: SecretStr = Field(min_length=8)
    smtp_host: str = Field(min_length=1)
    smtp_port: int = Field(25, ge=1, le=65535)
    smtp_connections: int = Field(4, ge=1, le=100)
    mail_from: Annotated[str, AfterValidator(_mailbox)]
    fulfil_step_seconds: float = Field(2.0, ge=0, le=3600)
    max_jobs: int = Field(10, ge=1, le=1000)
    reports_at_once: int = Field(2, ge=1, le=100)
    job_lease_seconds: float = Field(6.0, ge=0.3, le=300)
    sweep_seconds: float = Field(1.0, ge=0.05, le=60)
    schedule_seconds: float = Field(5.0, ge=0.05, le=60)
    jobs_kept_days: float = Field(14, gt=0, le=3650)
    shutdown_seconds: int = Field(20, ge=1, le=300)


class ReportSettings(LastingObjectStoreSettings, Settings):
    """Those of a worker that makes reports: its files must last."""
