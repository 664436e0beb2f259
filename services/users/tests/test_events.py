import json

import httpx
from redis.asyncio import Redis

from testkit.spans import Spans
from testkit.waiting import eventually

from .conftest import ExecuteSql
from .factories import create_user, registration_body

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACE_HEADERS = {"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01", "baggage": "hopline.synthetic=true"}


class TestRegistered:
    async def test_registration_writes_an_outbox_row_with_the_trace_of_the_request(
        self, users: httpx.AsyncClient, execute_sql: ExecuteSql
    ) -> None:
        user = (await users.post("/users", json=registration_body(), headers=TRACE_HEADERS)).json()
        (event,) = await execute_sql("SELECT * FROM outbox")
        assert event["type"] == "hopline.user.registered.v1"
        assert (event["source"], event["subject"]) == ("/hopline/users", user["id"])
        assert json.loads(event["data"]) == {"user_id": user["id"]}
        assert event["traceparent"].split("-")[1] == TRACE_ID
        assert event["baggage"] == "hopline.synthetic=true"

    async def test_event_is_not_written_when_the_registration_is_rejected(
        self, users: httpx.AsyncClient, execute_sql: ExecuteSql
    ) -> None:
        user = await create_user(users)
        await users.post("/users", json=registration_body(email=user["email"]))
        assert len(await execute_sql("SELECT 1 FROM outbox")) == 1

    async def test_event_is_appended_to_the_stream(self, users: httpx.AsyncClient, redis_url: str) -> None:
        user = (await users.post("/users", json=registration_body(), headers=TRACE_HEADERS)).json()
        async with Redis.from_url(redis_url) as redis:
            ((_, fields),) = await eventually(lambda: redis.xrange("events:users"))
        event = json.loads(fields[b"event"])
        assert (event["type"], event["subject"]) == ("hopline.user.registered.v1", user["id"])
        assert event["traceparent"].split("-")[1] == TRACE_ID


async def test_registration_hashes_and_publishes_in_one_trace_with_the_user_id(
    users: httpx.AsyncClient, spans: Spans
) -> None:
    user = await create_user(users)
    (request,) = await eventually(lambda: spans.named("POST /users"))
    published = await eventually(lambda: spans.named("publish events:users"))
    hashed = spans.one("hash password")
    assert {span.context.trace_id for span in (*published, hashed)} == {request.context.trace_id}
    assert (request.attributes or {})["user.id"] == user["id"]
