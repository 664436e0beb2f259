"""Settings of the workers."""

from typing import Annotated

from pydantic import AfterValidator, AliasChoices, AnyHttpUrl, Field

from shared.config import (
    DatabaseSettings,
    ObjectStoreSettings,
    PersistentObjectStoreSettings,
    RedisSettings,
    ServiceSettings,
    WorkersClientSettings,
)
from workers.emails.message import parse_sender


def _validate_sender(value: str) -> str:
    """Accept a sender that can be written in the header of an email. Raises ValueError."""
    try:
        parse_sender(value)
    except ValueError:
        raise ValueError(
            "must be an address such as 'Hopline <shop@hopline.example>', with only letters, digits, '-' and '.' after "
            "the '@'"
        ) from None
    return value


class Settings(WorkersClientSettings, ObjectStoreSettings, DatabaseSettings, RedisSettings, ServiceSettings):
    """Stores, upstreams, mail server and job limits of a worker."""

    users_url: AnyHttpUrl = Field(description="Base URL of the users service, for example http://localhost:8001")
    orders_url: AnyHttpUrl = Field(description="Base URL of the orders service, for example http://localhost:8002")
    notifications_url: AnyHttpUrl = Field(
        description="Base URL of the notifications service, for example http://localhost:8003"
    )
    smtp_host: str = Field(min_length=1, description="Host of the SMTP server, for example localhost")
    smtp_port: int = Field(25, ge=1, le=65535, description="Port of the SMTP server")
    smtp_connections: int = Field(
        4,
        ge=1,
        le=100,
        description="Concurrent SMTP connections; keep it below two thirds of DATABASE_POOL_SIZE, as each holds a "
        "database connection and some are reserved",
    )
    mail_from: Annotated[str, AfterValidator(_validate_sender)] = Field(
        description="Sender of emails, for example Hopline <shop@hopline.example>"
    )
    fulfil_step_seconds: float = Field(
        2.0, ge=0, le=3600, description="Delay of each simulated fulfilment step, packing and shipping, in seconds"
    )
    max_jobs: int = Field(10, ge=1, le=1000, description="Concurrent jobs of one worker")
    max_concurrent_reports: int = Field(
        2,
        ge=1,
        le=100,
        validation_alias=AliasChoices("max_concurrent_reports", "reports_at_once"),
        description="Concurrent reports of one report worker; each takes about 20 MB of memory",
    )
    job_lease_seconds: float = Field(
        6.0, ge=0.3, le=300, description="Lease of a running job, in seconds; a killed worker's jobs restart after it"
    )
    sweep_seconds: float = Field(
        4.0, ge=0.05, le=60, description="Interval of the search for expired leases, in seconds"
    )
    schedule_seconds: float = Field(
        10.0, ge=0.05, le=60, description="Interval of the search for due schedules, in seconds"
    )
    job_retention_days: float = Field(
        14,
        gt=0,
        le=3650,
        validation_alias=AliasChoices("job_retention_days", "jobs_kept_days"),
        description="Retention of finished jobs, in days",
    )
    shutdown_seconds: int = Field(
        20, ge=1, le=300, description="Time that running jobs get to finish after SIGTERM, in seconds"
    )


class ReportSettings(PersistentObjectStoreSettings, Settings):
    """Settings of the report worker. In production, its object store must outlive the process."""
