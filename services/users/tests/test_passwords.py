import asyncio
import threading
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Literal, TypeAlias

import asyncpg
import httpx
import pytest
from argon2 import PasswordHasher

from shared.deadline import RESPONSE_S, deadline_in
from testkit.spans import Spans
from testkit.waiting import eventually
from users.errors import TooManyLogins
from users.passwords import open_passwords

from .conftest import Rows, Service
from .factories import PASSWORD, log_in, registered, registration

Form: TypeAlias = Literal["NFC", "NFD", "NFKC", "NFKD"]

COMPOSED = "crème brûlée ﬁn"
"""Has composed characters, and a ligature that only the compatibility forms take apart."""


class TestPasswords:
    async def test_match_only_their_own_hash(self) -> None:
        async with open_passwords(at_once=1, max_waiting=1, timeout_s=30) as passwords:
            known = await passwords.hash("one")
            assert await passwords.verify("one", known) == (True, None)
            assert await passwords.verify("two", known) == (False, None)

    async def test_take_as_long_without_an_account(self, users: httpx.AsyncClient, spans: Spans) -> None:
        """Compared by the work that is done: times would depend on the machine's mood."""
        user = await registered(users)
        spans.clear()
        await log_in(users, user["email"], "a wrong one")
        await log_in(users, "nobody@hopline.example")
        await log_in(users, "no-at-sign")
        assert len(spans.named("verify password")) == 3

    async def test_are_stored_anew_when_parameters_have_changed(self, users: httpx.AsyncClient, rows: Rows) -> None:
        user = await registered(users)
        weaker = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
        await rows("UPDATE account SET password_hash = $1", weaker)
        assert (await log_in(users, user["email"])).status_code == 200
        (account,) = await rows("SELECT password_hash FROM account")
        assert "m=19456" in account["password_hash"]
        assert (await log_in(users, user["email"])).status_code == 200

    @pytest.mark.parametrize(("chosen", "typed"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFC", "NFKC"), ("NFKD", "NFC")])
    async def test_match_however_a_keyboard_composes_them(
        self, users: httpx.AsyncClient, chosen: Form, typed: Form
    ) -> None:
        user = await registered(users, password=unicodedata.normalize(chosen, COMPOSED))
        response = await log_in(users, user["email"], unicodedata.normalize(typed, COMPOSED))
        assert response.status_code == 200

    @pytest.mark.parametrize("chosen", ["NFC", "NFD"])
    async def test_stored_before_they_were_normalised_still_match_and_are_stored_anew(
        self, users: httpx.AsyncClient, rows: Rows, chosen: Form
    ) -> None:
        user = await registered(users)
        old = unicodedata.normalize(chosen, COMPOSED)
        await rows("UPDATE account SET password_hash = $1", PasswordHasher().hash(old))
        assert (await log_in(users, user["email"], COMPOSED.swapcase())).status_code == 401
        assert (await log_in(users, user["email"], old)).status_code == 200
        for form in ("NFC", "NFD"):
            assert (await log_in(users, user["email"], unicodedata.normalize(form, COMPOSED))).status_code == 200

    async def test_leave_the_event_loop_free_and_never_exceed_their_threads(self) -> None:
        async with open_passwords(at_once=2, max_waiting=12, timeout_s=30) as passwords:
            hashing = asyncio.gather(*(passwords.hash(f"password {number}") for number in range(12)))
            most = turns = 0
            while not hashing.done():
                await asyncio.wait([hashing], timeout=0.001)
                turns += 1
                most = max(most, sum(thread.name.startswith("argon2") for thread in threading.enumerate()))
            assert len(set(await hashing)) == 12
            assert most == 2
            assert turns > 12

    async def test_refuse_what_would_wait_past_the_deadline(self) -> None:
        async with open_passwords(at_once=1, max_waiting=1, timeout_s=30) as passwords:
            with deadline_in(RESPONSE_S), pytest.raises(TooManyLogins):
                await passwords.hash("late")

    async def test_refuse_what_would_wait_too_long(self, spans: Spans) -> None:
        async with open_passwords(at_once=1, max_waiting=1, timeout_s=0.0) as passwords:
            with pytest.raises(TooManyLogins):
                await passwords.hash("late")
        [failure] = spans.one("hash password").events
        assert set(failure.attributes or {}) == {"exception.type", "exception.message", "exception.stacktrace"}

    async def test_reject_at_once_what_finds_the_queue_full(self, service: Service, users_database: str) -> None:
        """The first login waits for the table of accounts; the others get their responses without reading it."""
        async with service(max_waiting_passwords=1, database_lock_timeout_ms=10_000) as users:
            user = await registered(users)
            async with locked_accounts(users_database) as is_waited_for:
                first = asyncio.create_task(log_in(users, user["email"]))
                await eventually(is_waited_for, what="the first login to wait")
                for response in (await log_in(users, user["email"]), await users.post("/users", json=registration())):
                    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
                    assert response.json()["type"].endswith("/too-many-logins")
            assert (await first).status_code == 200
            assert (await log_in(users, user["email"])).status_code == 200


@asynccontextmanager
async def locked_accounts(database_url: str) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """The table of accounts is locked within the block; yields whether a statement waits for it."""
    connection = await asyncpg.connect(database_url)

    async def is_waited_for() -> bool:
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        return bool(await connection.fetchval(query))

    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE account IN ACCESS EXCLUSIVE MODE")
            yield is_waited_for
    finally:
        await connection.close()
