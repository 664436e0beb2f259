"""Switches for calls by httpx."""

import asyncio

import httpx

from shared.faults.switch import FaultSwitchedOn, answer_of, suffer
from shared.faults.watch import Faults

_PROBES = "/health/"


class FaultyCalls(httpx.AsyncBaseTransport):
    """A transport around another, whose calls to `target` suffer what is switched on; raises what transports raise."""

    def __init__(self, inner: httpx.AsyncBaseTransport, *, faults: Faults, target: str) -> None:
        self._inner = inner
        self._faults = faults
        self._target = target

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Make one call, if the switches let it."""
        fault = self._faults.towards(self._target, is_probe=request.url.path.startswith(_PROBES))
        if fault is None:
            return await self._inner.handle_async_request(request)
        try:
            async with asyncio.timeout(request.extensions.get("timeout", {}).get("read")):
                answered = await suffer(fault)
        except TimeoutError as error:
            raise httpx.ReadTimeout(f"a fault switch made {self._target} {fault.kind}", request=request) from error
        except ConnectionResetError as error:
            raise httpx.ReadError(str(error), request=request) from error
        if answered:
            body = answer_of(fault, path=request.url.path)
            headers = {"Content-Type": "application/problem+json", "Content-Length": str(len(body))}
            return httpx.Response(FaultSwitchedOn.status, headers=headers, stream=httpx.ByteStream(body))
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()
