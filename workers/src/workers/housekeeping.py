"""Forgetting what is no longer needed: other services are asked to, the worker's own tables are done here."""

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Protocol

import httpx
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database import Database
from shared.housekeeping import CONSUMING, Bounds, Chore, EventsSince, Housekeeping, Tidied, Tidying
from workers.clients import ServiceToken, call, expect
from workers.ledger import JobLedger

PATH = "/internal/housekeeping"


class Housekeeper(Protocol):
    """Somebody who tidies one place."""

    async def tidy(self, *, events_since: datetime | None = None) -> Tidied:
        """Remove one batch; raises DependencyAway where the place does not answer."""
        ...


class Place:
    """A service that keeps house when it is asked to."""

    def __init__(self, *, http: httpx.AsyncClient, token: ServiceToken) -> None:
        self._http = http
        self._token = token

    async def tidy(self, *, events_since: datetime | None = None) -> Tidied:
        """Have one batch removed there; raises DependencyAway."""
        known = Tidying(events_since=events_since).model_dump(mode="json")
        response = await call(self._http, "POST", PATH, auth=self._token, body=known)
        expect(response, HTTPStatus.OK)
        return Tidied.model_validate_json(response.content)

    async def events_since(self) -> datetime:
        """Since when it keeps events that it could ship again; raises DependencyAway."""
        response = await call(self._http, "GET", PATH, auth=self._token)
        expect(response, HTTPStatus.OK)
        return EventsSince.model_validate_json(response.content).events_since


def own_housekeeping(*, database: Database, jobs_kept: timedelta) -> Housekeeping:
    """The worker's: what every consumer forgets, and jobs that were done `jobs_kept` ago. Dead ones stay."""
    return Housekeeping(database=database, chores={**CONSUMING, "jobs": _forget_done_jobs(jobs_kept)})


def _forget_done_jobs(kept: timedelta) -> Chore:
    async def forget(session: AsyncSession, bounds: Bounds) -> int:
        return await JobLedger(session).forget_done(kept=kept, limit=bounds.limit)

    return forget
