"""Argon2id hashes of passwords, computed on a separate thread pool.

Argon2id takes tens of milliseconds and 19 MiB per hash by design. A hash must not block the event loop, and the default
thread pool would compute dozens of hashes at the same time. The size of the separate pool limits them. A semaphore
around `to_thread` would not limit them: if a client disconnects, the semaphore is released while the thread still
computes the hash and holds the memory.

On a loaded machine, the threads could take most of the CPU time that the event loop needs. Therefore they have a
lower priority, and the event loop starts each hash, so that hashes wait while the event loop is late. The queue is
bounded in length and in time. If a hash is not expected in time, its request is rejected before any other work.
"""

import asyncio
import os
import sys
import time
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from secrets import token_hex
from typing import TypeVar

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from shared.context import limit_wait
from shared.telemetry.spans import get_tracer, use_span
from users.errors import TooManyLoginsError

RETRY_AFTER_S = 5
"""The `Retry-After` of a rejected request."""

NICENESS = 5
"""Niceness of the threads. While two threads hash on one processor, a busy event loop gets 60 % of it, instead of a
third at equal priority. With a higher niceness, a loaded machine would not finish any hash in time."""

EXPECTED_SHARE = 0.5
"""Maximum share of the request's time for the expected wait and hash. The rest is a reserve, because hashes become
slower while the queue grows."""

MAX_NORMALISED_LENGTH = 512
"""Maximum number of characters that are normalised, because normalisation takes quadratic time. `schemas.Password` is
shorter, so a longer password is wrong anyway."""

T = TypeVar("T")

_tracer = get_tracer("users")

_argon2 = PasswordHash((Argon2Hasher(time_cost=2, memory_cost=19 * 1024, parallelism=1),))
"""The parameters for servers of the OWASP Password Storage Cheat Sheet. `memory_cost` is in KiB."""


def normalise_password(password: str) -> str:
    """Return the password in NFKC (NIST SP 800-63B §3.1.1.2), because keyboards compose characters differently."""
    return unicodedata.normalize("NFKC", password) if len(password) <= MAX_NORMALISED_LENGTH else password


class PasswordHasher:
    """Hashes and verifies passwords on `executor`.

    A call ends after `timeout_s` seconds, or shortly before the request's deadline if that is earlier. At most
    `max_waiting` requests hold a slot in the queue, including those that are hashed. `max_concurrent` is the number of
    threads. `hash_s` is the expected duration of the first hash, in seconds. `decoy` is the hash of a random password,
    which `verify` uses for an unknown account.
    """

    def __init__(
        self,
        *,
        executor: ThreadPoolExecutor,
        max_concurrent: int,
        max_waiting: int,
        timeout_s: float,
        hash_s: float,
        decoy: str,
    ) -> None:
        self._executor = executor
        self._max_concurrent = max_concurrent
        self._max_waiting = max_waiting
        self._timeout_s = timeout_s
        self._hash_s = hash_s
        self._decoy = decoy
        self._free_threads = asyncio.Semaphore(max_concurrent)
        self._waiting = 0

    @contextmanager
    def queue_slot(self) -> Iterator[None]:
        """Hold a slot in the queue within the block. Enter it before any other work for the request.

        Raises:
            TooManyLoginsError: The queue is full, or the hash is not expected in time.
        """
        if self._waiting >= self._max_waiting or self._is_expected_late():
            raise TooManyLoginsError(retry_after_s=RETRY_AFTER_S)
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    async def hash(self, password: str) -> str:
        """Return the hash to store. Call it within `queue_slot`.

        Raises:
            TooManyLoginsError: The hash was not computed in time.
        """
        with use_span(_tracer.start_span("hash password")):
            return await self._run(lambda: _argon2.hash(normalise_password(password)))

    async def hash_at_start(self, password: str) -> str:
        """Return the hash to store. It has no timeout, because no client waits and a slow machine must start too."""
        return await self._submit(lambda: _argon2.hash(normalise_password(password)))

    async def verify(self, password: str, stored_hash: str | None) -> tuple[bool, str | None]:
        """Return whether `password` matches `stored_hash`, and a new hash to store if the parameters have changed.

        A hash that was stored before passwords were normalised is replaced too. Without a stored hash the result is
        False and takes the same time, so that the time does not reveal whether an account exists. Call it within
        `queue_slot`.

        Raises:
            TooManyLoginsError: The hash was not computed in time.
        """
        with use_span(_tracer.start_span("verify password")):
            matches, new_hash = await self._run(lambda: _verify(password, stored_hash or self._decoy))
        return (matches, new_hash) if stored_hash else (False, None)

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(limit_wait(self._timeout_s)), self._free_threads:
                return await self._submit(work)
        except TimeoutError:
            raise TooManyLoginsError(retry_after_s=RETRY_AFTER_S) from None

    async def _submit(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._measure, work)

    def _is_expected_late(self) -> bool:
        """Return whether one more hash would take too long.

        It never would if a thread is free. Otherwise one slow hash could cause the rejection of all later requests, and
        no further hash would correct the expected duration.
        """
        expected_s = (self._waiting + 1) * self._hash_s / self._max_concurrent
        return self._waiting >= self._max_concurrent and expected_s > EXPECTED_SHARE * limit_wait(self._timeout_s)

    def _measure(self, work: Callable[[], T]) -> T:
        """Do the work, and update the expected duration of a hash, which is an exponential moving average."""
        started = time.monotonic()
        try:
            return work()
        finally:
            self._hash_s = (self._hash_s + time.monotonic() - started) / 2


def _verify(password: str, stored_hash: str) -> tuple[bool, str | None]:
    """Try the normalised password, and then the password as typed if it differs.

    The decoy never matches. Therefore an unknown account takes as many tries as a wrong password.
    """
    normalised = normalise_password(password)
    matches, new_hash = _argon2.verify_and_update(normalised, stored_hash)
    if not matches and normalised != password and _argon2.verify(password, stored_hash):
        return True, _argon2.hash(normalised)
    return matches, new_hash


@asynccontextmanager
async def open_password_hasher(
    *, max_concurrent: int, max_waiting: int, timeout_s: float
) -> AsyncIterator[PasswordHasher]:
    """Start a pool that hashes at most `max_concurrent` passwords in parallel. The exit waits for running hashes."""
    with ThreadPoolExecutor(max_concurrent, thread_name_prefix="argon2", initializer=_lower_priority) as executor:
        started = time.monotonic()
        decoy = await asyncio.get_running_loop().run_in_executor(executor, _argon2.hash, token_hex())
        yield PasswordHasher(
            executor=executor,
            max_concurrent=max_concurrent,
            max_waiting=max_waiting,
            timeout_s=timeout_s,
            hash_s=time.monotonic() - started,
            decoy=decoy,
        )


def _lower_priority() -> None:
    """Lower the priority of this thread. Only Linux has a priority per thread (nice(2)), other systems per process."""
    if sys.platform == "linux":
        os.nice(NICENESS)
