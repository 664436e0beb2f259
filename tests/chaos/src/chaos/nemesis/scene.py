"""The parameters of a nemesis."""

import random
from dataclasses import dataclass

from redis.asyncio import Redis

from chaos.nemesis.switches import Switches
from chaos.processes import Processes
from chaos.snapshot_reader import SnapshotReader
from chaos.workload import Workload
from shared.db.redis import create_redis


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One run under load. `rng` makes all random choices."""

    processes: Processes
    snapshot_reader: SnapshotReader
    workload: Workload
    switches: Switches
    rng: random.Random
    gateway: str

    def port(self, name: str) -> int:
        """Return the port of a service."""
        return self.processes.port(name)

    def redis(self) -> Redis:
        """Return a client of the stack's Redis. The caller closes it."""
        return create_redis(self.processes.table.valkey.url)
