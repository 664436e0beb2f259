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

from shared.context import RESPONSE_MARGIN_S, Deadline
from testkit.spans import Spans
from testkit.waiting import eventually
from users import passwords as passwords_module
from users.errors import TooManyLoginsError
from users.passwords import open_password_hasher

from .conftest import ExecuteSql, RunService
from .factories import PASSWORD, create_user, log_in, registration_body

Form: TypeAlias = Literal["NFC", "NFD", "NFKC", "NFKD"]

DECOMPOSABLE_TEXT = "crème brûlée ﬁn"
"""Text with composed characters, and with a ligature that only NFKC and NFKD decompose."""

SPENT_DEADLINE_S = RESPONSE_MARGIN_S
"""A deadline that leaves no time to wait in a queue, because a wait ends this margin before the deadline."""


class RecordingExecutor(ThreadPoolExecutor):
    """A thread pool that counts the submitted calls."""

    submitted = 0

    def submit(self, *args: Any, **options: Any) -> Future[Any]:
        self.submitted += 1
        return super().submit(*args, **options)


class TestPasswordHasher:
    async def test_verify_matches_only_the_hash_of_the_same_password(self) -> None:
        async with open_password_hasher(max_concurrent=1, max_waiting=1, timeout_s=30) as passwords:
            stored_hash = await passwords.hash("one")
            assert await passwords.verify("one", stored_hash) == (True, None)
            assert await passwords.verify("two", stored_hash) == (False, None)

    async def test_login_verifies_a_password_when_the_account_is_missing(
        self, users: httpx.AsyncClient, spans: Spans
    ) -> None:
        """Compare the number of verifications, because times depend on the machine."""
        user = await create_user(users)
        spans.clear()
        await log_in(users, user["email"], "a wrong password")
        await log_in(users, "nobody@hopline.example")
        await log_in(users, "no-at-sign")
        assert len(spans.named("verify password")) == 3

    async def test_login_replaces_the_hash_when_the_parameters_have_changed(
        self, users: httpx.AsyncClient, execute_sql: ExecuteSql
    ) -> None:
        user = await create_user(users)
        weaker_hash = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
        await execute_sql("UPDATE account SET password_hash = $1", weaker_hash)
        assert (await log_in(users, user["email"])).status_code == 200
        (account,) = await execute_sql("SELECT password_hash FROM account")
        assert "m=19456" in account["password_hash"]
        assert (await log_in(users, user["email"])).status_code == 200

    @pytest.mark.parametrize(
        ("registered", "typed"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFC", "NFKC"), ("NFKD", "NFC")]
    )
    async def test_login_succeeds_when_the_keyboard_composes_characters_differently(
        self, users: httpx.AsyncClient, registered: Form, typed: Form
    ) -> None:
        user = await create_user(users, password=unicodedata.normalize(registered, DECOMPOSABLE_TEXT))
        response = await log_in(users, user["email"], unicodedata.normalize(typed, DECOMPOSABLE_TEXT))
        assert response.status_code == 200

    @pytest.mark.parametrize("hashed", ["NFC", "NFD"])
    async def test_login_replaces_the_hash_when_it_predates_normalisation(
        self, users: httpx.AsyncClient, execute_sql: ExecuteSql, hashed: Form
    ) -> None:
        user = await create_user(users)
        password = unicodedata.normalize(hashed, DECOMPOSABLE_TEXT)
        await execute_sql("UPDATE account SET password_hash = $1", PasswordHasher().hash(password))
        wrong_password = DECOMPOSABLE_TEXT.swapcase()
        assert (await log_in(users, user["email"], wrong_password)).status_code == 401
        assert (await log_in(users, user["email"], password)).status_code == 200
        for form in ("NFC", "NFD"):
            response = await log_in(users, user["email"], unicodedata.normalize(form, DECOMPOSABLE_TEXT))
            assert response.status_code == 200

    @pytest.mark.skipif(sys.platform != "linux", reason="the priority is that of the whole process")
    async def test_hash_threads_have_a_lower_priority_than_the_event_loop(self) -> None:
        async with open_password_hasher(max_concurrent=1, max_waiting=1, timeout_s=30):
            threads = [thread for thread in threading.enumerate() if thread.name.startswith("argon2")]
            niceness = [os.getpriority(os.PRIO_PROCESS, thread.native_id or 0) for thread in threads]
            assert niceness
            assert min(niceness) > os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    async def test_hash_is_submitted_only_when_the_previous_one_has_ended(self) -> None:
        gate = threading.Event()
        gate_calls, hashes = 1, 4
        with RecordingExecutor(1) as executor:
            executor.submit(gate.wait)
            passwords = passwords_module.PasswordHasher(
                executor=executor, max_concurrent=1, max_waiting=hashes, timeout_s=30, hash_s=0.0, decoy=""
            )
            hashing = asyncio.gather(*(passwords.hash(f"password {number}") for number in range(hashes)))
            await eventually(lambda: executor.submitted > gate_calls, what="a hash to be submitted")
            assert executor.submitted == gate_calls + 1
            gate.set()
            assert len(set(await hashing)) == hashes
        assert executor.submitted == gate_calls + hashes

    async def test_queue_slot_is_rejected_when_the_hash_is_not_expected_in_time(self) -> None:
        async with open_password_hasher(max_concurrent=1, max_waiting=2, timeout_s=30) as passwords:
            with passwords.queue_slot():
                with Deadline(SPENT_DEADLINE_S), pytest.raises(TooManyLoginsError), passwords.queue_slot():
                    pass
                with passwords.queue_slot():
                    pass  # without a deadline the same queue is short enough
            with Deadline(SPENT_DEADLINE_S), passwords.queue_slot():
                pass  # a free thread is used although no time is left

    async def test_expected_duration_approaches_the_measured_one(self) -> None:
        with ThreadPoolExecutor(1) as executor:
            passwords = passwords_module.PasswordHasher(
                executor=executor, max_concurrent=1, max_waiting=2, timeout_s=60, hash_s=1e6, decoy=""
            )
            with passwords.queue_slot():
                with pytest.raises(TooManyLoginsError), passwords.queue_slot():
                    pass
                for _ in range(20):  # each halves the difference between the expected and the measured duration
                    await passwords.hash("measured")
                with passwords.queue_slot():
                    pass

    async def test_hashing_leaves_the_event_loop_free_and_uses_at_most_max_concurrent_threads(self) -> None:
        threads, hashes = 2, 12
        async with open_password_hasher(max_concurrent=threads, max_waiting=hashes, timeout_s=30) as passwords:
            hashing = asyncio.gather(*(passwords.hash(f"password {number}") for number in range(hashes)))
            max_threads = iterations = 0
            while not hashing.done():
                await asyncio.wait([hashing], timeout=0.001)
                iterations += 1
                max_threads = max(
                    max_threads, sum(thread.name.startswith("argon2") for thread in threading.enumerate())
                )
            assert len(set(await hashing)) == hashes
            assert max_threads == threads
            assert iterations > hashes  # a loop that the hashes block runs at most once per hash

    async def test_hash_is_rejected_when_it_would_exceed_the_deadline(self) -> None:
        async with open_password_hasher(max_concurrent=1, max_waiting=1, timeout_s=30) as passwords:
            with Deadline(SPENT_DEADLINE_S), pytest.raises(TooManyLoginsError):
                await passwords.hash("late")

    async def test_hash_is_rejected_and_its_span_records_the_error_when_it_exceeds_the_timeout(
        self, spans: Spans
    ) -> None:
        async with open_password_hasher(max_concurrent=1, max_waiting=1, timeout_s=0.0) as passwords:
            with pytest.raises(TooManyLoginsError):
                await passwords.hash("late")
        (event,) = spans.one("hash password").events
        assert event.name == "exception"
        assert set(event.attributes or {}) == {"exception.type", "exception.message", "exception.stacktrace"}

    async def test_login_and_registration_are_rejected_when_the_queue_is_full(
        self, run_service: RunService, users_database: str
    ) -> None:
        """The first login waits for the locked table. The other requests are rejected before they read the table."""
        async with run_service(max_waiting_passwords=1, database_lock_timeout_ms=10_000) as users:
            user = await create_user(users)
            async with locked_accounts(users_database) as has_lock_waiter:
                first = asyncio.create_task(log_in(users, user["email"]))
                await eventually(has_lock_waiter, what="the first login to wait")
                login = await log_in(users, user["email"])
                registration = await users.post("/users", json=registration_body())
                for response in (login, registration):
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
