from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from testkit.apps import http_client, serve
from workers.clients import CALL_TIMEOUT_S, EXPIRY_MARGIN_S, RETRY_DELAY_S, ServiceToken, UsersClient
from workers.errors import DependencyUnavailableError
from workers.models import Job

from .factories import welcome_email
from .fakes import add_user
from .harness import Harness


class UsersWithOneToken:
    """A users service that issues one token for 100 seconds, and none while it is `unavailable`."""

    def __init__(self) -> None:
        self.unavailable = False
        self.rejections = 0
        routes = [
            Route("/internal/tokens", self._grant, methods=["POST"]),
            Route("/internal/admins", self._admins),
        ]
        self.app = Starlette(routes=routes)

    async def _grant(self, _request: Request) -> Response:
        if self.unavailable:
            self.rejections += 1
            return Response(status_code=503)
        return JSONResponse({"access_token": "first", "token_type": "bearer", "expires_in": 100})

    async def _admins(self, _request: Request) -> Response:
        return JSONResponse([])


class TestServiceToken:
    async def test_token_is_fetched_once_for_many_jobs(self, harness: Harness) -> None:
        await self._send_welcome_emails(harness, count=5)
        assert harness.users.tokens_issued == 1

    async def test_token_is_fetched_again_shortly_before_it_expires(self, harness: Harness) -> None:
        harness.users.token_lifetime = 1  # replaced at half of its lifetime
        async with harness.worker():
            await self._add_welcome_email(harness)
            await harness.wait_until_done(1)
            await harness.add(welcome_email(self._create_user(harness), delay_s=0.6))
            await harness.wait_until_done(2)
        assert harness.users.tokens_issued > 1

    async def test_token_is_fetched_again_once_when_it_is_rejected(self, harness: Harness) -> None:
        async with harness.worker():
            await self._add_welcome_email(harness)
            await harness.wait_until_done(1)
            harness.users.revoked = {"t1"}
            await self._add_welcome_email(harness)
            await harness.wait_until_done(2)
        assert harness.users.tokens_issued == 2

    async def test_job_fails_without_a_loop_when_a_new_token_is_rejected(self, harness: Harness) -> None:
        harness.users.revoked = {f"t{number}" for number in range(1, 100)}
        async with harness.worker():
            await self._add_welcome_email(harness)
            await harness.wait_until(lambda jobs: "returned 401" in (jobs[0].last_error or ""))
            requests = len(harness.users.user_requests)
            (job,) = await harness.list_jobs()
        assert requests <= 2 * job.attempt

    async def test_token_is_used_until_it_expires_when_users_is_unavailable(self) -> None:
        users, now = UsersWithOneToken(), 0.0
        async with serve(users.app) as url, http_client(url) as http:
            token = ServiceToken(users=http, secret=SecretStr("secret"), clock=lambda: now)
            client = UsersClient(http=http, token=token)
            assert await client.admins() == []
            users.unavailable = True
            now = 100 - EXPIRY_MARGIN_S
            for _ in range(3):
                assert await client.admins() == []
            assert users.rejections == 1, "users is not called again immediately"
            now += RETRY_DELAY_S
            assert await client.admins() == []
            assert users.rejections == 2
            now = 100.0
            with pytest.raises(DependencyUnavailableError):
                await client.admins()

    async def _send_welcome_emails(self, harness: Harness, *, count: int) -> list[Job]:
        async with harness.worker():
            await harness.add(*(welcome_email(self._create_user(harness)) for _ in range(count)))
            return await harness.wait_until_done(count)

    async def _add_welcome_email(self, harness: Harness) -> None:
        await harness.add(welcome_email(self._create_user(harness)))

    def _create_user(self, harness: Harness) -> UUID:
        user_id = uuid4()
        add_user(harness.users, user_id)
        return user_id


class TestUsers:
    async def test_request_has_the_timeout_of_the_workers(self, harness: Harness) -> None:
        user_id = uuid4()
        add_user(harness.users, user_id)
        async with harness.worker():
            await harness.add(welcome_email(user_id))
            await harness.wait_until_done(1)
        assert 0 < int(harness.users.user_requests[-1]["x-request-timeout-ms"]) <= CALL_TIMEOUT_S * 1000

    async def test_job_is_retried_when_a_call_fails(self, harness: Harness) -> None:
        user_id = uuid4()
        add_user(harness.users, user_id)
        harness.users.next_statuses = [503]
        async with harness.worker():
            await harness.add(welcome_email(user_id))
            (job,) = await harness.wait_until_done(1)
        assert job.attempt > 1
        assert len(harness.mailbox.messages) == 1

    async def test_job_is_dead_without_retries_when_the_user_is_unknown(self, harness: Harness) -> None:
        async with harness.worker():
            await harness.add(welcome_email())
            (job,) = await harness.wait_until(lambda jobs: jobs[0].state == "dead")
        assert "no user" in (job.last_error or "")
