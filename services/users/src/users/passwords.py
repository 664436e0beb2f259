"""Passwords as argon2id hashes, computed on a few threads of their own.

A hash takes tens of milliseconds and 19 MiB on purpose. On the event loop it would stop every other request; on the
default thread pool a login storm would hash dozens at once. The bound is the pool's size and not a semaphore around
`to_thread`: a client that hangs up frees a semaphore while its thread still holds the memory. The queue is bounded in
length and in time: a request that finds it full is rejected before any other work is done for it.
"""

import asyncio
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from secrets import token_hex
from typing import TypeVar

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from shared.deadline import limit_wait
from shared.tracing import active, tracer_of
from users.errors import TooManyLogins

RETRY_AFTER_S = 5
"""What a client that is rejected is asked to wait."""

NORMALISED_LENGTH = 512
"""Longer passwords cannot have been set. They are not normalised, which takes quadratic time."""

T = TypeVar("T")

_tracer = tracer_of("users")

_argon2 = PasswordHash((Argon2Hasher(time_cost=2, memory_cost=19 * 1024, parallelism=1),))
"""OWASP's parameters for servers (Password Storage Cheat Sheet): KiB of memory; threads per hash would add no work."""


def normalised_password(password: str) -> str:
    """Return the password in NFKC (NIST SP 800-63B §3.1.1.2), so that it matches however a keyboard composes it."""
    return unicodedata.normalize("NFKC", password) if len(password) <= NORMALISED_LENGTH else password


class Passwords:
    """Hashes and verifies on `executor`, each within `timeout_s` seconds and shortly before the deadline at the latest.

    At most `max_waiting` requests have a place in the queue. `decoy` is the hash of a password that nobody knows.
    """

    def __init__(self, *, executor: ThreadPoolExecutor, decoy: str, max_waiting: int, timeout_s: float) -> None:
        self._executor = executor
        self._decoy = decoy
        self._max_waiting = max_waiting
        self._timeout_s = timeout_s
        self._waiting = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place in the queue within the block. Enter it before any other work for the request.

        Raises:
            TooManyLogins: The queue is full.
        """
        if self._waiting >= self._max_waiting:
            raise TooManyLogins(retry_after_s=RETRY_AFTER_S)
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    async def hash(self, password: str) -> str:
        """Return the hash to store. Call it within `place`.

        Raises:
            TooManyLogins: The hash was not computed in time.
        """
        with active(_tracer.start_span("hash password")):
            return await self._run(lambda: _argon2.hash(normalised_password(password)))

    async def verify(self, password: str, known: str | None) -> tuple[bool, str | None]:
        """Say whether `password` belongs to the `known` hash, and what to store instead where parameters have changed.

        A hash of the password as it was typed, from before passwords were normalised, is to be replaced too.
        Without a known hash it takes as long and says no: time must not tell who has an account.
        Call it within `place`. Raises TooManyLogins if it was not computed in time.
        """
        with active(_tracer.start_span("verify password")):
            matches, better = await self._run(lambda: _verify(password, known or self._decoy))
        return (matches, better) if known else (False, None)

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(limit_wait(self._timeout_s)):
                return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except TimeoutError:
            raise TooManyLogins(retry_after_s=RETRY_AFTER_S) from None


def _verify(password: str, known: str) -> tuple[bool, str | None]:
    """Try the normalised password, then the typed one if it differs: how often depends on the password alone."""
    normalised = normalised_password(password)
    matches, better = _argon2.verify_and_update(normalised, known)
    if not matches and normalised != password and _argon2.verify(password, known):
        return True, _argon2.hash(normalised)
    return matches, better


@asynccontextmanager
async def open_passwords(*, at_once: int, max_waiting: int, timeout_s: float) -> AsyncIterator[Passwords]:
    """Threads that hash `at_once` passwords at a time; at the end those under way are waited for."""
    with ThreadPoolExecutor(max_workers=at_once, thread_name_prefix="argon2") as executor:
        decoy = await asyncio.get_running_loop().run_in_executor(executor, _argon2.hash, token_hex())
        yield Passwords(executor=executor, decoy=decoy, max_waiting=max_waiting, timeout_s=timeout_s)
