"""What a nemesis has in its hands."""

import random
from dataclasses import dataclass

from redis.asyncio import Redis

from chaos.census import Census
from chaos.crowd import Crowd
from chaos.nemesis.switches import Switches
from chaos.processes import Processes
from shared.redis import redis_client


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One run in the midst of its load; every choice is `rng`'s."""

    processes: Processes
    census: Census
    crowd: Crowd
    switches: Switches
    rng: random.Random
    gateway: str

    def port(self, name: str) -> int:
        """Return the port of a service."""
        return self.processes.port(name)

    def redis(self) -> Redis:
        """A client of the stack's Redis; close it."""
        return redis_client(self.processes.table.valkey.url)
