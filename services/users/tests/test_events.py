import json

import httpx
from redis.asyncio import Redis

from testkit.spans import Spans
from testkit.waiting import eventually

from .conftest import FetchRows
from .factories import create_user, user_create

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACED = {"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01", "baggage": "hopline.synthetic=true"}


class TestRegistered:
    async def test_registration_writes_an_outbox_row_with_its_trace(
        self, users: httpx.AsyncClient, rows: FetchRows
    ) -> None:
        user = (await users.post("/users", json=user_create(), headers=TRACED)).json()
        (event,) = await rows("SELECT * FROM outbox")
        assert event["type"] == "hopline.user.registered.v1"
        assert (event["source"], event["subject"]) == ("/hopline/users", user["id"])
        assert json.loads(event["data"]) == {"user_id": user["id"]}
        assert event["traceparent"].split("-")[1] == TRACE_ID
        assert event["baggage"] == "hopline.synthetic=true"

    async def test_event_is_not_written_when_the_registration_is_rejected(
        self, users: httpx.AsyncClient, rows: FetchRows
    ) -> None:
        user = await create_user(users)
        await users.post("/users", json=user_create(email=user["email"]))
        assert len(await rows("SELECT 1 FROM outbox")) == 1

    async def test_event_reaches_the_stream(self, users: httpx.AsyncClient, redis_url: str) -> None:
        user = (await users.post("/users", json=user_create(), headers=TRACED)).json()
        async with Redis.from_url(redis_url) as redis:
            ((_, fields),) = await eventually(lambda: redis.xrange("events:users"))
        event = json.loads(fields[b"event"])
        assert (event["type"], event["subject"]) == ("hopline.user.registered.v1", user["id"])
        assert event["traceparent"].split("-")[1] == TRACE_ID


async def test_registration_is_one_trace_of_the_user(users: httpx.AsyncClient, spans: Spans) -> None:
    user = await create_user(users)
    request = await eventually(lambda: spans.named("POST /users"))
    published = await eventually(lambda: spans.named("publish events:users"))
    hashed = spans.one("hash password")
    trace_id = request[0].context.trace_id
    assert {span.context.trace_id for span in (*published, hashed)} == {trace_id}
    assert (request[0].attributes or {})["user.id"] == user["id"]
