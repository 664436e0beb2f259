"""Faults in Redis: one hash with a field per pair of services. The hash expires with the last fault."""

from redis.asyncio import Redis

from shared.faults.injection import Fault

KEY = "faults"


class FaultStore:
    """Sets, lists and clears faults. Errors of redis-py propagate."""

    def __init__(self, *, redis: Redis) -> None:
        self._redis = redis

    async def switch_on(self, fault: Fault) -> None:
        """Store `fault`. It replaces an earlier fault of the same source and target."""
        async with self._redis.pipeline(transaction=True) as commands:
            commands.hset(KEY, _field(fault.source, fault.target), fault.model_dump_json())
            commands.expireat(KEY, fault.until, nx=True)
            commands.expireat(KEY, fault.until, gt=True)
            await commands.execute()

    async def all(self) -> list[Fault]:
        """Return the faults that have not expired, sorted by source and target."""
        rows = await self._redis.hgetall(KEY)  # type: ignore[misc]  # redis-py types it as sync or async
        faults = (Fault.model_validate_json(row) for row in rows.values())
        return sorted(
            (fault for fault in faults if not fault.is_over()), key=lambda fault: (fault.source, fault.target)
        )

    async def clear(self, *, source: str | None = None, target: str | None = None) -> None:
        """Delete the faults of calls from `source` to `target`. None matches every service."""
        fields = [
            _field(fault.source, fault.target)
            for fault in await self.all()
            if source in {None, fault.source} and target in {None, fault.target}
        ]
        if fields:
            await self._redis.hdel(KEY, *fields)  # type: ignore[misc]


def _field(source: str, target: str) -> str:
    return f"{source}>{target}"
