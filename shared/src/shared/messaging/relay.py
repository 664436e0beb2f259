"""The relay: one leader per database appends outbox rows to the stream, woken by commits."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
import structlog
from pydantic import PostgresDsn
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from shared.background import BackgroundLoop
from shared.db.urls import get_connect_arguments
from shared.errors.stores import connecting
from shared.messaging.appender import StreamAppender
from shared.messaging.metrics import BacklogMetrics
from shared.messaging.outbox import wake_after_commit
from shared.messaging.trim import trim_stream

log = structlog.get_logger(__name__)

POLL_S = 1.0
"""Interval at which the leader polls the outbox if a wake-up was lost, and a follower tries to become the leader."""

DEBOUNCE_S = 0.005
"""Minimum time between two notifications of a follower, so that one notification is sent for several commits."""

TRIM_S = 10.0
_CHANNEL = "outbox"
_LOCK = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))"

_IDLE_POLLS = 10
_MIN_IDLE_TIMEOUT_S = 2.0
"""The server closes the connection of a relay that is idle for 10 polls, but at least for 2 s."""

_KEEPALIVE = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "2"}


class Relay(BackgroundLoop):
    """Appends an outbox to its stream while it is entered with `async with`. Every process of a service runs one.

    One relay leads per database and stream. It holds a session advisory lock on a separate connection, and the lock
    ends with the connection. Commits in the process of the leader wake it directly; the relays of other processes wake
    it with NOTIFY, once for several commits. `trim_for` are the consumer groups that must acknowledge an entry before
    it is trimmed; without groups nothing is trimmed.
    """

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
        self._database_url = database_url
        self._redis = redis
        self._stream = stream
        self._sessions = sessions
        self._trim_for = trim_for
        self._poll_s = poll_s
        self._trim_s = trim_s
        self._woken = asyncio.Event()
        self._backlog = BacklogMetrics(redis=redis, stream=stream)

    def __str__(self) -> str:
        return f"relay {self._stream}"

    def is_outage(self, error: Exception) -> bool:
        """Return whether a store is unavailable, or asyncpg lost the connection while it received a result."""
        return isinstance(error, asyncpg.InternalClientError) or super().is_outage(error)

    async def _run(self) -> None:
        with wake_after_commit(self._sessions, self._woken.set):
            async with self._connection() as connection:
                await self._follow(connection)
                await self._lead(connection)

    async def _follow(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Return once this relay leads. Until then notify the leader of commits in this process."""
        while not await connection.fetchval(_LOCK, str(self)):
            self._backlog.reset()
            if await self._wait_for_wake_up(self._poll_s):
                await connection.execute(f"NOTIFY {_CHANNEL}")
                await asyncio.sleep(DEBOUNCE_S)

    async def _lead(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        log.info("relay_leads", stream=self._stream)
        await connection.add_listener(_CHANNEL, lambda *_: self._woken.set())
        appender = StreamAppender(connection=connection, redis=self._redis, stream=self._stream)
        clock = asyncio.get_running_loop().time
        trim_at = clock()
        while not self._stopping.is_set():
            self._woken.clear()
            # First, because the other steps raise while Redis is unavailable, and the backlog grows meanwhile.
            await self._backlog.update(connection, appended=appender.last_appended)
            if clock() >= trim_at:  # before appending: a server that is out of memory rejects XADD, not XTRIM
                await trim_stream(self._redis, self._stream, groups=self._trim_for)
                trim_at = clock() + self._trim_s
            if await appender.step():
                continue
            await self._wait_for_wake_up(self._poll_s)

    async def _wait_for_wake_up(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        return True

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        # A frozen process would keep the lock as long as its connection, so the server closes an idle connection.
        idle_timeout_s = max(_IDLE_POLLS * self._poll_s, _MIN_IDLE_TIMEOUT_S)
        with connecting("PostgreSQL"):
            connection = await asyncpg.connect(
                **get_connect_arguments(self._database_url),
                timeout=5,
                command_timeout=10,
                server_settings={
                    "application_name": str(self),
                    "idle_session_timeout": str(int(idle_timeout_s * 1000)),
                    **_KEEPALIVE,
                },
            )
        connection.add_termination_listener(lambda _: self._woken.set())
        try:
            yield connection
        finally:
            connection.terminate()  # closes without waiting, also if cancelled
