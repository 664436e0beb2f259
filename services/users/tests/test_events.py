import json
from typing import Any

import httpx
from redis.asyncio import Redis

from testkit.spans import Spans
from testkit.waiting import eventually

from .conftest import Rows
from .factories import registered, registration

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACED = {"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01", "baggage": "hopline.synthetic=true"}


class TestRegistered:
    async def test_is_in_the_outbox_with_its_trace(self, users: httpx.AsyncClient, rows: Rows) -> None:
        user = (await users.post("/users", json=registration(), headers=TRACED)).json()
        (event,) = await rows("SELECT * FROM outbox")
        assert event["type"] == "hopline.user.registered.v1"
        assert (event["source"], event["subject"]) == ("/hopline/users", user["id"])
        assert json.loads(event["data"]) == {"user_id": user["id"]}
        assert event["traceparent"].split("-")[1] == TRACE_ID
        assert event["baggage"] == "hopline.synthetic=true"

    async def test_is_not_told_of_a_refused_registration(self, users: httpx.AsyncClient, rows: Rows) -> None:
        user = await registered(users)
        await users.post("/users", json=registration(email=user["email"]))
        assert len(await rows("SELECT 1 FROM outbox")) == 1

    async def test_reaches_the_stream(self, users: httpx.AsyncClient, redis_url: str) -> None:
        user = (await users.post("/users", json=registration(), headers=TRACED)).json()
        async with Redis.from_url(redis_url) as redis:
            ((_, fields),) = await eventually(lambda: redis.xrange("events:users"))
        (body,) = (value for value in fields.values() if value.startswith(b"{"))
        event: dict[str, Any] = json.loads(body)
        assert event["subject"] == user["id"]
        assert event["traceparent"].split("-")[1] == TRACE_ID


async def test_a_registration_is_one_trace(users: httpx.AsyncClient, spans: Spans) -> None:
    await registered(users)
    request = await eventually(lambda: spans.named("POST /users"))
    published = await eventually(lambda: spans.named("publish events:users"))
    hashed = spans.one("hash password")
    trace_id = request[0].context.trace_id
    assert {span.context.trace_id for span in (*published, hashed)} == {trace_id}
