"""Fault switches of the stack, as an admin sets them by `make fault`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from console.faults import Admin
from console.shop import Shop

_PATIENCE_S = 30.0


class Switches:
    """Those of the stack behind `gateway`. Raises console.failures.FailedError where they can not be set."""

    def __init__(self, *, gateway: str, admin: Admin) -> None:
        self._gateway = gateway
        self._admin = admin

    @asynccontextmanager
    async def on(self, *, kind: str, target: str, **wanted: Any) -> AsyncIterator[None]:
        """Have it on for the time of the block."""
        async with httpx.AsyncClient(timeout=_PATIENCE_S, trust_env=False) as client:
            shop = Shop(gateway=self._gateway, client=client)
            await shop.sign_in(email=self._admin.email, password=self._admin.password)
            await shop.ask("POST", "/v2/faults", json={"kind": kind, "target": target, **wanted})
            try:
                yield
            finally:
                await shop.ask("DELETE", "/v2/faults", params={"target": target})
