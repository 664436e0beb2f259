from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from testkit.apps import http_client, serve
from workers.clients import CALL_S, EXPIRY_MARGIN_S, RETRY_S, ServiceToken, UsersClient
from workers.errors import DependencyAway
from workers.models import Job

from .factories import welcome_email
from .standins import person
from .world import World


class UsersWithoutTokens:
    """The users service, which gives a token for 100 seconds and then, once `away`, no other."""

    def __init__(self) -> None:
        self.away = False
        self.refused = 0
        routes = [
            Route("/internal/tokens", self._grant, methods=["POST"]),
            Route("/internal/admins", self._admins),
        ]
        self.app = Starlette(routes=routes)

    async def _grant(self, _request: Request) -> Response:
        if self.away:
            self.refused += 1
            return Response(status_code=503)
        return JSONResponse({"access_token": "first", "token_type": "bearer", "expires_in": 100})

    async def _admins(self, _request: Request) -> Response:
        return JSONResponse([])


class TestServiceToken:
    async def test_is_fetched_once_for_many_jobs(self, world: World) -> None:
        await self._greet(world, count=5)
        assert world.users.tokens_given == 1

    async def test_is_fetched_again_shortly_before_it_expires(self, world: World) -> None:
        world.users.token_lifetime = 1  # half of it is kept
        async with world.worker():
            await self._greet_one(world)
            await world.until_done(1)
            await world.add(welcome_email(self._known(world), delay_s=0.6))
            await world.until_done(2)
        assert world.users.tokens_given > 1

    async def test_is_fetched_again_once_when_refused(self, world: World) -> None:
        async with world.worker():
            await self._greet_one(world)
            await world.until_done(1)
            world.users.revoked = {"t1"}
            await self._greet_one(world)
            await world.until_done(2)
        assert world.users.tokens_given == 2

    async def test_refusal_of_a_fresh_token_is_a_failure_not_a_loop(self, world: World) -> None:
        world.users.revoked = {f"t{number}" for number in range(1, 100)}
        async with world.worker():
            await self._greet_one(world)
            await world.until(lambda jobs: "answered 401" in (jobs[0].last_error or ""))
            asked = len(world.users.asked)
            (job,) = await world.jobs()
        assert asked <= 2 * job.attempt

    async def test_is_used_until_it_expires_if_users_gives_no_other(self) -> None:
        users, now = UsersWithoutTokens(), 0.0
        async with serve(users.app) as url, http_client(url) as http:
            token = ServiceToken(users=http, secret=SecretStr("secret"), clock=lambda: now)
            client = UsersClient(http=http, token=token)
            assert await client.admins() == []
            users.away = True
            now = 100 - EXPIRY_MARGIN_S
            for _ in range(3):
                assert await client.admins() == []
            assert users.refused == 1, "users is left alone for a moment"
            now += RETRY_S
            assert await client.admins() == []
            assert users.refused == 2
            now = 100.0
            with pytest.raises(DependencyAway):
                await client.admins()

    async def _greet(self, world: World, *, count: int) -> list[Job]:
        async with world.worker():
            await world.add(*(welcome_email(self._known(world)) for _ in range(count)))
            return await world.until_done(count)

    async def _greet_one(self, world: World) -> None:
        await world.add(welcome_email(self._known(world)))

    def _known(self, world: World) -> UUID:
        user_id = uuid4()
        person(world.users, user_id)
        return user_id


class TestUsers:
    async def test_is_told_how_long_the_worker_waits(self, world: World) -> None:
        user_id = uuid4()
        person(world.users, user_id)
        async with world.worker():
            await world.add(welcome_email(user_id))
            await world.until_done(1)
        assert 0 < int(world.users.asked[-1]["x-request-timeout-ms"]) <= CALL_S * 1000

    async def test_who_fails_is_asked_again(self, world: World) -> None:
        user_id = uuid4()
        person(world.users, user_id)
        world.users.answers = [503]
        async with world.worker():
            await world.add(welcome_email(user_id))
            (job,) = await world.until_done(1)
        assert job.attempt > 1
        assert len(world.mailbox.messages) == 1

    async def test_unknown_user_makes_the_job_dead_at_once(self, world: World) -> None:
        async with world.worker():
            await world.add(welcome_email())
            (job,) = await world.until(lambda jobs: jobs[0].state == "dead")
        assert "no user" in (job.last_error or "")
