import asyncio
import threading

import httpx
import pytest
from argon2 import PasswordHasher

from shared.deadline import RESPONSE_S, deadline_in
from testkit.spans import Spans
from users.errors import TooManyLogins
from users.passwords import open_passwords

from .conftest import Rows
from .factories import PASSWORD, log_in, registered


class TestPasswords:
    async def test_match_only_their_own_hash(self) -> None:
        async with open_passwords(at_once=1, timeout_s=30) as passwords:
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

    async def test_leave_the_event_loop_free_and_never_exceed_their_threads(self) -> None:
        async with open_passwords(at_once=2, timeout_s=30) as passwords:
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
        async with open_passwords(at_once=1, timeout_s=30) as passwords:
            with deadline_in(RESPONSE_S), pytest.raises(TooManyLogins):
                await passwords.hash("late")

    async def test_refuse_what_would_wait_too_long(self) -> None:
        async with open_passwords(at_once=1, timeout_s=0.0) as passwords:
            with pytest.raises(TooManyLogins):
                await passwords.hash("late")
