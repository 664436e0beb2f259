"""Faults that the stack injects into its own calls, as an admin requests them with `make fault`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from console.faults import Admin
from console.shop import open_shop
from hopline_client import api

_TIMEOUT_S = 30.0


class Switches:
    """The faults of the stack behind `gateway`."""

    def __init__(self, *, gateway: str, admin: Admin) -> None:
        self._gateway = gateway
        self._admin = admin

    @asynccontextmanager
    async def on(self, *, kind: str, target: str, **fields: str | int) -> AsyncIterator[None]:
        """Inject a fault for the time of the block. Raises console.failures.FailedError if that is not possible."""
        async with open_shop(self._gateway, timeout_s=_TIMEOUT_S) as client:
            await client.log_in(email=self._admin.email, password=self._admin.password)
            await client.call(api.inject_fault(kind=kind, target=target, **fields))
            try:
                yield
            finally:
                await client.call(api.remove_faults(target=target))
