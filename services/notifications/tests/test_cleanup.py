"""The cleanup of applied events and of replayed dead letters."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from services.notifications.tests.factories import Instance

from testkit.apps import http_client

MONTH_AGO = datetime.now(UTC) - timedelta(days=30)
DEAD_LETTER_RETENTION_DAYS = 30
NOTHING_REMOVED = {"removed": {"inbox": 0, "dead_letters": 0}, "more": False}


class TestCleanup:
    async def test_cleanup_deletes_applied_events_that_cannot_be_published_again(
        self, instance: Instance, database: str
    ) -> None:
        event_ids = await insert_inbox_rows(database, MONTH_AGO, MONTH_AGO + timedelta(days=2))
        response = await run_cleanup(instance, {"events_since": (MONTH_AGO + timedelta(days=1)).isoformat()})
        assert response.json() == {"removed": {"inbox": 1, "dead_letters": 0}, "more": False}
        assert await list_inbox_event_ids(database) == event_ids[1:]

    async def test_cleanup_keeps_all_applied_events_when_events_since_is_missing(
        self, instance: Instance, database: str
    ) -> None:
        event_ids = await insert_inbox_rows(database, MONTH_AGO)
        assert (await run_cleanup(instance, {})).json() == NOTHING_REMOVED
        assert await list_inbox_event_ids(database) == event_ids

    @pytest.mark.parametrize(
        "events_since", ["0001-01-01T00:00:00Z", "1999-12-31T23:59:59Z", "2100-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]
    )
    async def test_events_since_is_rejected_when_its_year_is_not_supported(
        self, instance: Instance, events_since: str
    ) -> None:
        rejected = await run_cleanup(instance, {"events_since": events_since})
        assert rejected.status_code == 422
        assert rejected.json()["errors"] == [{"field": "events_since", "message": "must lie in the years 2000 to 2099"}]

    async def test_cleanup_deletes_dead_letters_when_their_replay_is_older_than_the_retention(
        self, instance: Instance, database: str
    ) -> None:
        now = datetime.now(UTC)
        await insert_dead_letters(
            database,
            expired=now - timedelta(days=DEAD_LETTER_RETENTION_DAYS + 1),
            recent=now - timedelta(days=DEAD_LETTER_RETENTION_DAYS - 1),
            not_replayed=None,
        )
        assert (await run_cleanup(instance, {})).json()["removed"]["dead_letters"] == 1
        assert await list_dead_letter_entry_ids(database) == ["recent", "not_replayed"]

    async def test_cleanup_is_forbidden_when_the_caller_is_not_a_service(self, instance: Instance) -> None:
        assert (await run_cleanup(instance, {}, role="admin")).status_code == 403


async def run_cleanup(instance: Instance, body: dict[str, Any], *, role: str = "service") -> httpx.Response:
    async with http_client(instance.url, token=instance.issuer.issue(uuid4(), role=role)) as client:
        return await client.post("/internal/housekeeping", json=body)


async def insert_inbox_rows(database: str, *moments: datetime) -> list[UUID]:
    """Insert inbox rows that were processed at these times, and return the ids of their events."""
    connection = await asyncpg.connect(database)
    ids = [uuid4() for _ in moments]
    rows = [("notifications", event_id, moment) for event_id, moment in zip(ids, moments, strict=True)]
    await connection.executemany("INSERT INTO inbox (consumer, event_id, processed_at) VALUES ($1, $2, $3)", rows)
    await connection.close()
    return ids


async def list_inbox_event_ids(database: str) -> list[UUID]:
    connection = await asyncpg.connect(database)
    found = [row["event_id"] for row in await connection.fetch("SELECT event_id FROM inbox ORDER BY processed_at")]
    await connection.close()
    return found


async def insert_dead_letters(database: str, **replayed_at: datetime | None) -> None:
    """Insert dead letters that failed 90 days ago: the entry id and the time of the replay of each."""
    connection = await asyncpg.connect(database)
    await connection.executemany(
        "INSERT INTO dead_letter (consumer, stream, entry_id, body, error, attempts, failed_at, replayed_at)"
        " VALUES ('notifications', 'events:orders', $1, '', 'failed', 5, now() - interval '90 days', $2)",
        replayed_at.items(),
    )
    await connection.close()


async def list_dead_letter_entry_ids(database: str) -> list[str]:
    connection = await asyncpg.connect(database)
    found = [row["entry_id"] for row in await connection.fetch("SELECT entry_id FROM dead_letter ORDER BY id")]
    await connection.close()
    return found
