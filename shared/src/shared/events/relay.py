"""The relay's life: one leader per database, woken by commits, through every outage."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar

import asyncpg
import structlog
from pydantic import PostgresDsn
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from shared.background import Background
from shared.events.figures import Backlog
from shared.events.outbox import woken_by
from shared.events.shipper import Shipper
from shared.events.trim import trim
from shared.store_errors import STORE_ERRORS

log = structlog.get_logger(__name__)

POLL_S = 1.0
"""The floor: how late a wake-up that got lost is noticed, and how soon a follower tries to lead."""

DEBOUNCE_S = 0.005
TRIM_S = 10.0
_CHANNEL = "outbox"
_LOCK = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))"

_SILENT_POLLS = 10
_SHORTEST_SILENCE_S = 2.0
_KEEPALIVE = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "2"}


class Relay(Background):
    """Carries an outbox into its stream while entered with `async with`; every process of a service runs one.

    One leads per database and stream, by a session advisory lock on a connection of its own: the lock ends with the
    connection, however the process ends. The leader is woken by commits in its own process directly, and by those of
    other processes through NOTIFY, which their relays send after the commit, many commits in one.
    `trim_for` names the consumer groups that must have acknowledged an entry before it is trimmed; empty: no trim.
    """

    outages: ClassVar = (
        *STORE_ERRORS,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
    )
    """asyncpg's internal error is what a statement gets that begins while the connection is being lost."""

    def __init__(
        self,
        *,
        database_url: PostgresDsn | str,
        redis: Redis,
        stream: str,
        sessions: async_sessionmaker[AsyncSession] | None = None,
        trim_for: Sequence[str] = (),
        poll_s: float = POLL_S,
        trim_s: float = TRIM_S,
    ) -> None:
        super().__init__()
        self._database_url = str(database_url)
        self._redis = redis
        self._stream = stream
        self._sessions = sessions
        self._trim_for = trim_for
        self._poll_s = poll_s
        self._trim_s = trim_s
        self._woken = asyncio.Event()
        self._backlog = Backlog(redis=redis, stream=stream)

    def __str__(self) -> str:
        return f"relay {self._stream}"

    def wake(self) -> None:
        """Look for new rows now; cheap, and safe to call at any time from the event loop."""
        self._woken.set()

    async def _run(self) -> None:
        with woken_by(self._sessions, self.wake):
            async with self._connection() as connection:
                await self._follow(connection)
                await self._lead(connection)

    async def _follow(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Return once this relay leads; until then tell the leader of the commits made in this process."""
        while not await connection.fetchval(_LOCK, str(self)):
            if await self._woken_within(self._poll_s):
                await connection.execute(f"NOTIFY {_CHANNEL}")
                await asyncio.sleep(DEBOUNCE_S)

    async def _lead(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        log.info("relay_leads", stream=self._stream)
        await connection.add_listener(_CHANNEL, lambda *_: self.wake())
        shipper = Shipper(connection=connection, redis=self._redis, stream=self._stream)
        clock = asyncio.get_running_loop().time
        trim_at = clock()
        while not self._stopping.is_set():
            self._woken.clear()
            if clock() >= trim_at:  # before appending: a server that is out of memory rejects XADD, not XTRIM
                await trim(self._redis, self._stream, groups=self._trim_for)
                trim_at = clock() + self._trim_s
            await self._backlog.look(connection, shipped=shipper.shipped)
            if await shipper.step():
                continue
            await self._woken_within(self._poll_s)

    async def _woken_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        return True

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        # A frozen process keeps its connection, and so its lock: the server ends one that was silent for ten polls.
        silence_s = max(_SILENT_POLLS * self._poll_s, _SHORTEST_SILENCE_S)
        connection = await asyncpg.connect(
            self._database_url,
            timeout=5,
            command_timeout=10,
            server_settings={
                "application_name": str(self),
                "idle_session_timeout": str(int(silence_s * 1000)),
                **_KEEPALIVE,
            },
        )
        connection.add_termination_listener(lambda _: self.wake())
        try:
            yield connection
        finally:
            connection.terminate()  # at once, also while cancelled: there is nothing to say goodbye for
