import asyncio
import os
import sys
import threading
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeAlias

import asyncpg
import httpx
import pytest
from argon2 import PasswordHasher

from shared.context import RESPONSE_MARGIN_S, set_deadline
from testkit.spans import Spans
from testkit.waiting import eventually
from users import passwords as passwords_module
from users.errors import TooManyLoginsError
from users.passwords import open_password_hasher

from .conftest import FetchRows, Service
from .factories import PASSWORD, create_user, log_in, user_create

Form: TypeAlias = Literal["NFC", "NFD", "NFKC", "NFKD"]

DECOMPOSABLE_TEXT = "crème brûlée ﬁn"
"""Text with composed characters, and with a ligature that only NFKC and NFKD decompose."""


class RecordingExecutor(ThreadPoolExecutor):
    """Counts the submitted calls."""

    submitted = 0

    def submit(self, *args: Any, **options: Any) -> Future[Any]:
        self.submitted += 1
        return super().submit(*args, **options)


class TestPasswordHasher:
    async def test_verify_matches_only_the_hash_of_the_same_password(self) -> None:
        async with open_password_hasher(max_concurrent=1, max_waiting=1, timeout_s=30) as passwords:
            known = await passwords.hash("one")
            assert await passwords.verify("one", known) == (True, None)
            assert await passwords.verify("two", known) == (False, None)

    async def test_verify_does_the_same_work_when_the_account_is_missing(
        self, users: httpx.AsyncClient, spans: Spans
    ) -> None:
        """Compare the work, because times depend on the machine."""
        user = await create_user(users)
        spans.clear()
        await log_in(users, user["email"], "a wrong one")
        await log_in(users, "nobody@hopline.example")
        await log_in(users, "no-at-sign")
        assert len(spans.named("verify password")) == 3

    async def test_login_replaces_the_hash_when_the_parameters_have_changed(
        self, users: httpx.AsyncClient, rows: FetchRows
    ) -> None:
        user = await create_user(users)
        weaker = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
        await rows("UPDATE account SET password_hash = $1", weaker)
        assert (await log_in(users, user["email"])).status_code == 200
        (account,) = await rows("SELECT password_hash FROM account")
        assert "m=19456" in account["password_hash"]
        assert (await log_in(users, user["email"])).status_code == 200

    @pytest.mark.parametrize(("chosen", "typed"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFC", "NFKC"), ("NFKD", "NFC")])
    async def test_login_succeeds_when_the_keyboard_composes_characters_differently(
        self, users: httpx.AsyncClient, chosen: Form, typed: Form
    ) -> None:
        user = await create_user(users, password=unicodedata.normalize(chosen, DECOMPOSABLE_TEXT))
        response = await log_in(users, user["email"], unicodedata.normalize(typed, DECOMPOSABLE_TEXT))
        assert response.status_code == 200

    @pytest.mark.parametrize("chosen", ["NFC", "NFD"])
    async def test_login_replaces_the_hash_when_it_predates_normalisation(
        self, users: httpx.AsyncClient, rows: FetchRows, chosen: Form
    ) -> None:
        user = await create_user(users)
        old = unicodedata.normalize(chosen, DECOMPOSABLE_TEXT)
        await rows("UPDATE account SET password_hash = $1", PasswordHasher().hash(old))
        assert (await log_in(users, user["email"], DECOMPOSABLE_TEXT.swapcase())).status_code == 401
        assert (await log_in(users, user["email"], old)).status_code == 200
        for form in ("NFC", "NFD"):
            assert (
                await log_in(users, user["email"], unicodedata.normalize(form, DECOMPOSABLE_TEXT))
            ).status_code == 200

    @pytest.mark.skipif(sys.platform != "linux", reason="a priority belongs to the whole process")
    async def test_hash_threads_have_a_lower_priority_than_the_event_loop(self) -> None:
        async with open_password_hasher(max_concurrent=1, max_waiting=1, timeout_s=30):
            threads = [thread for thread in threading.enumerate() if thread.name.startswith("argon2")]
            priorities = [os.getpriority(os.PRIO_PROCESS, thread.native_id or 0) for thread in threads]
            assert priorities
            assert min(priorities) > os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    async def test_hash_is_submitted_only_when_a_thread_is_free(self) -> None:
        gate = threading.Event()
        with RecordingExecutor(1) as executor:
            executor.submit(gate.wait)
            passwords = passwords_module.PasswordHasher(
                executor=executor, max_concurrent=1, max_waiting=4, timeout_s=30, hash_s=0.0, decoy=""
            )
            hashing = asyncio.gather(*(passwords.hash(f"password {number}") for number in range(4)))
            await eventually(lambda: executor.submitted > 1, what="a hash to be submitted")
            assert executor.submitted == 2
            gate.set()
            assert len(set(await hashing)) == 4
        assert executor.submitted == 5

    async def test_queue_slot_is_rejected_when_the_hash_is_not_expected_in_time(self) -> None:
        async with open_password_hasher(max_concurrent=1, max_waiting=2, timeout_s=30) as passwords:
            with passwords.queue_slot():
                with set_deadline(RESPONSE_MARGIN_S), pytest.raises(TooManyLoginsError), passwords.queue_slot():
                    pass
                with passwords.queue_slot():
                    pass
            with set_deadline(RESPONSE_MARGIN_S), passwords.queue_slot():
                pass  # the thread is free

    async def test_expected_duration_follows_the_last_hashes(self) -> None:
        with ThreadPoolExecutor(1) as executor:
            passwords = passwords_module.PasswordHasher(
                executor=executor, max_concurrent=1, max_waiting=2, timeout_s=60, hash_s=1e6, decoy=""
            )
            with passwords.queue_slot():
                with pytest.raises(TooManyLoginsError), passwords.queue_slot():
                    pass
                for _ in range(20):  # each halves the distance to the measured duration
                    await passwords.hash("measured")
                with passwords.queue_slot():
                    pass

    async def test_hashing_leaves_the_event_loop_free_and_never_exceeds_its_threads(self) -> None:
        async with open_password_hasher(max_concurrent=2, max_waiting=12, timeout_s=30) as passwords:
            hashing = asyncio.gather(*(passwords.hash(f"password {number}") for number in range(12)))
            max_threads = iterations = 0
            while not hashing.done():
                await asyncio.wait([hashing], timeout=0.001)
                iterations += 1
                max_threads = max(
                    max_threads, sum(thread.name.startswith("argon2") for thread in threading.enumerate())
                )
            assert len(set(await hashing)) == 12
            assert max_threads == 2
            assert iterations > 12

    async def test_hash_is_rejected_when_it_would_exceed_the_deadline(self) -> None:
        async with open_password_hasher(max_concurrent=1, max_waiting=1, timeout_s=30) as passwords:
            with set_deadline(RESPONSE_MARGIN_S), pytest.raises(TooManyLoginsError):
                await passwords.hash("late")

    async def test_hash_is_rejected_when_it_exceeds_the_timeout(self, spans: Spans) -> None:
        async with open_password_hasher(max_concurrent=1, max_waiting=1, timeout_s=0.0) as passwords:
            with pytest.raises(TooManyLoginsError):
                await passwords.hash("late")
        [failure] = spans.one("hash password").events
        assert set(failure.attributes or {}) == {"exception.type", "exception.message", "exception.stacktrace"}

    async def test_login_and_registration_are_rejected_when_the_queue_is_full(
        self, service: Service, users_database: str
    ) -> None:
        """The first login waits for the locked table. The others are rejected without reading it."""
        async with service(max_waiting_passwords=1, database_lock_timeout_ms=10_000) as users:
            user = await create_user(users)
            async with locked_accounts(users_database) as has_lock_waiter:
                first = asyncio.create_task(log_in(users, user["email"]))
                await eventually(has_lock_waiter, what="the first login to wait")
                for response in (await log_in(users, user["email"]), await users.post("/users", json=user_create())):
                    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
                    assert response.json()["type"].endswith("/too-many-logins")
            assert (await first).status_code == 200
            assert (await log_in(users, user["email"])).status_code == 200


@asynccontextmanager
async def locked_accounts(database_url: str) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """Lock the table of accounts within the block. Yields a function that returns whether a statement waits for it."""
    connection = await asyncpg.connect(database_url)

    async def has_lock_waiter() -> bool:
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        return bool(await connection.fetchval(query))

    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE account IN ACCESS EXCLUSIVE MODE")
            yield has_lock_waiter
    finally:
        await connection.close()
