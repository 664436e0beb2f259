from uuid import UUID, uuid4

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from testkit.apps import http_client, serve
from workers.clients import CALL_TIMEOUT_S, EXPIRY_MARGIN_S, RETRY_DELAY_S, ServiceToken, UsersClient
from workers.errors import DependencyUnavailableError

from .factories import welcome_email
from .fakes import add_user
from .harness import Harness

TOKEN_LIFETIME_S = 100


class UsersWithOneToken:
    """A users service that issues a token for `TOKEN_LIFETIME_S`, and responds with 503 while it is `unavailable`."""

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
        return JSONResponse({"access_token": "first", "token_type": "bearer", "expires_in": TOKEN_LIFETIME_S})

    async def _admins(self, _request: Request) -> Response:
        return JSONResponse([])


class TestServiceToken:
    async def test_token_is_fetched_once_when_many_jobs_run(self, harness: Harness) -> None:
        jobs = 5
        async with harness.run_worker():
            await harness.add_jobs(*(welcome_email(self._create_user(harness)) for _ in range(jobs)))
            await harness.wait_until_done(jobs)
        assert harness.users.tokens_issued == 1

    async def test_token_is_fetched_again_shortly_before_it_expires(self, harness: Harness) -> None:
        harness.users.token_lifetime = 1  # replaced at half of its lifetime
        async with harness.run_worker():
            await self._add_welcome_email(harness)
            await harness.wait_until_done(1)
            await harness.add_jobs(welcome_email(self._create_user(harness), delay_s=0.6))
            await harness.wait_until_done(2)
        assert harness.users.tokens_issued > 1

    async def test_token_is_fetched_again_once_when_it_is_rejected(self, harness: Harness) -> None:
        async with harness.run_worker():
            await self._add_welcome_email(harness)
            await harness.wait_until_done(1)
            harness.users.revoked = {"t1"}
            await self._add_welcome_email(harness)
            await harness.wait_until_done(2)
        assert harness.users.tokens_issued == 2

    async def test_request_is_repeated_once_per_attempt_when_new_tokens_are_rejected_too(
        self, harness: Harness
    ) -> None:
        harness.users.revoked = {f"t{number}" for number in range(1, 100)}
        async with harness.run_worker():
            await self._add_welcome_email(harness)
            await harness.wait_until(lambda jobs: "returned 401" in (jobs[0].last_error or ""))
            requests = len(harness.users.user_requests)  # before the attempts, because the worker continues
            (job,) = await harness.list_jobs()
        assert requests <= 2 * job.attempt

    async def test_token_is_used_until_it_expires_when_users_is_unavailable(self) -> None:
        users, now = UsersWithOneToken(), 0.0
        async with serve(users.app) as url, http_client(url) as http:
            token = ServiceToken(users=http, secret=SecretStr("secret"), clock=lambda: now)
            client = UsersClient(http=http, token=token)
            assert await client.list_admins() == []
            users.unavailable = True
            now = TOKEN_LIFETIME_S - EXPIRY_MARGIN_S
            for _ in range(3):
                assert await client.list_admins() == []
            assert users.rejections == 1, "users was called again before RETRY_DELAY_S"
            now += RETRY_DELAY_S
            assert await client.list_admins() == []
            assert users.rejections == 2
            now = float(TOKEN_LIFETIME_S)
            with pytest.raises(DependencyUnavailableError):
                await client.list_admins()

    async def _add_welcome_email(self, harness: Harness) -> None:
        await harness.add_jobs(welcome_email(self._create_user(harness)))

    def _create_user(self, harness: Harness) -> UUID:
        user_id = uuid4()
        add_user(harness.users, user_id)
        return user_id


class TestUsers:
    async def test_request_has_the_timeout_of_the_workers(self, harness: Harness) -> None:
        user_id = uuid4()
        add_user(harness.users, user_id)
        async with harness.run_worker():
            await harness.add_jobs(welcome_email(user_id))
            await harness.wait_until_done(1)
        assert 0 < int(harness.users.user_requests[-1]["x-request-timeout-ms"]) <= CALL_TIMEOUT_S * 1000

    async def test_wait_for_the_response_has_the_timeout_of_the_call_and_the_connection_that_of_the_client(
        self,
    ) -> None:
        timeouts: list[dict[str, float]] = []

        def respond(request: httpx.Request) -> httpx.Response:
            timeouts.append(request.extensions["timeout"])
            granted = {"access_token": "first", "expires_in": TOKEN_LIFETIME_S}
            return httpx.Response(200, json=granted if request.url.path == "/internal/tokens" else [])

        client_timeout = httpx.Timeout(5.0, connect=1.0)
        async with httpx.AsyncClient(
            base_url="http://users", transport=httpx.MockTransport(respond), timeout=client_timeout
        ) as http:
            token = ServiceToken(users=http, secret=SecretStr("secret"))
            await UsersClient(http=http, token=token).list_admins()
        assert [(timeout["read"], timeout["connect"]) for timeout in timeouts] == [(CALL_TIMEOUT_S, 1.0)] * 2

    async def test_job_is_retried_when_a_call_fails(self, harness: Harness) -> None:
        user_id = uuid4()
        add_user(harness.users, user_id)
        harness.users.next_statuses = [503]
        async with harness.run_worker():
            await harness.add_jobs(welcome_email(user_id))
            (job,) = await harness.wait_until_done(1)
        assert job.attempt > 1
        assert len(harness.mailbox.messages) == 1

    async def test_job_is_dead_without_retries_when_the_user_is_unknown(self, harness: Harness) -> None:
        async with harness.run_worker():
            await harness.add_jobs(welcome_email())
            (job,) = await harness.wait_until(lambda jobs: jobs[0].state == "dead")
        assert "no user" in (job.last_error or "")
