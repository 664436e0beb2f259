"""Cleanup of expired rows: through the API of another service, or in the workers' own database."""

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Protocol

import httpx
from sqlalchemy.ext.asyncio import AsyncSession

from shared.cleanup import (
    CONSUMER_TASKS,
    CleanupLimits,
    CleanupRequest,
    CleanupResult,
    CleanupService,
    CleanupTask,
    EventsSince,
)
from shared.db.database import Database
from workers.clients import ServiceToken, call, expect
from workers.jobs.repository import JobRepository

PATH = "/internal/housekeeping"


class CleanupTarget(Protocol):
    """The cleanup of one service."""

    async def run(self, *, events_since: datetime | None = None) -> CleanupResult:
        """Delete one batch.

        Raises:
            DependencyUnavailableError: The service is unavailable.
        """
        ...


class RemoteCleanup:
    """The cleanup of another service, through its internal API."""

    def __init__(self, *, http: httpx.AsyncClient, token: ServiceToken) -> None:
        self._http = http
        self._token = token

    async def run(self, *, events_since: datetime | None = None) -> CleanupResult:
        """Delete one batch.

        Raises:
            DependencyUnavailableError: The service is unavailable.
        """
        body = CleanupRequest(events_since=events_since).model_dump(mode="json")
        response = await call(self._http, "POST", PATH, auth=self._token, body=body)
        expect(response, HTTPStatus.OK)
        return CleanupResult.model_validate_json(response.content)

    async def events_since(self) -> datetime:
        """Return the time of the oldest event that the service can still publish again.

        Raises:
            DependencyUnavailableError: The service is unavailable.
        """
        response = await call(self._http, "GET", PATH, auth=self._token)
        expect(response, HTTPStatus.OK)
        return EventsSince.model_validate_json(response.content).events_since


def local_cleanup(*, database: Database, retention: timedelta) -> CleanupService:
    """Return the cleanup of the workers, which deletes rows of the inbox, dead letters and done jobs.

    `retention` is that of done jobs. Dead jobs are not deleted.
    """
    return CleanupService(database=database, tasks={**CONSUMER_TASKS, "jobs": _delete_done_jobs(retention)})


def _delete_done_jobs(retention: timedelta) -> CleanupTask:
    async def delete(session: AsyncSession, limits: CleanupLimits) -> int:
        return await JobRepository(session=session).delete_done(retention=retention, limit=limits.limit)

    return delete
