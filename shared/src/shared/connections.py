"""The number of PostgreSQL connections that the processes of one server's programs may open.

A program may open `processes × (pool + overflow + direct)` connections. The sum over all programs of a server plus the
reserve must not exceed the number that the server allows.
"""

from dataclasses import dataclass

POOL_SIZE = 10
MAX_OVERFLOW = 0
RESERVE = 20
"""Defaults of DATABASE_POOL_SIZE, DATABASE_MAX_OVERFLOW and DATABASE_RESERVE."""

PGBOUNCER_POOL_SIZE = 10
"""Connections that one PgBouncer opens for each database, by default."""

SUPERUSER_RESERVED = 3
"""PostgreSQL's default of `superuser_reserved_connections`, which no process of Hopline can use."""


AVAILABLE_CONNECTIONS = """SELECT current_setting('max_connections')::int
    - current_setting('superuser_reserved_connections')::int
    - coalesce(current_setting('reserved_connections', true), '0')::int"""
"""Query for the connections that the server allows to roles that are not superusers.

The setting of the last term exists since PostgreSQL 16.
"""


@dataclass(frozen=True, kw_only=True)
class Program:
    """The processes of one program. `direct` are the connections that each opens beside its pool (a relay has one).

    `pool` and `overflow` are 0 if the pool leads to PgBouncer, which is a program as well.
    """

    name: str
    processes: int = 1
    pool: int = 0
    overflow: int = 0
    direct: int = 0

    @property
    def connections(self) -> int:
        """The connections that all processes may open together."""
        return self.processes * (self.pool + self.overflow + self.direct)

    def __str__(self) -> str:
        """Return the product: `2 processes × (10 pool + 0 overflow + 1 direct)`."""
        noun = "process" if self.processes == 1 else "processes"
        return f"{self.processes} {noun} × ({self.pool} pool + {self.overflow} overflow + {self.direct} direct)"


@dataclass(frozen=True, kw_only=True)
class ConnectionBudget:
    """The connections that all programs of one server may open, compared with the limit of the server."""

    programs: tuple[Program, ...]
    reserve: int
    available: int

    @property
    def needed(self) -> int:
        """The sum of the reserve and the connections of all programs."""
        return sum(program.connections for program in self.programs) + self.reserve

    @property
    def fits(self) -> bool:
        """Whether the server allows the needed connections."""
        return self.needed <= self.available

    def __str__(self) -> str:
        """Return the sum in one line: `users 11 + orders 11 + reserve 20 = 42 of 97`."""
        parts = [f"{program.name} {program.connections}" for program in self.programs if program.connections]
        return f"{' + '.join([*parts, f'reserve {self.reserve}'])} = {self.needed} of {self.available}"

    def problem(self) -> str:
        """Return a message that shows the sum and names the settings to change; empty if the sum fits."""
        if self.fits:
            return ""
        products = "; ".join(f"{program.name}: {program}" for program in self.programs if program.connections)
        return (
            f"the processes may open more connections than PostgreSQL allows: {self}.\n{products}.\n"
            f"Lower WEB_CONCURRENCY, DATABASE_POOL_SIZE, DATABASE_MAX_OVERFLOW or DATABASE_RESERVE (with PgBouncer "
            f"PGBOUNCER_POOL_SIZE), or raise max_connections."
        )
