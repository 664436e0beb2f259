"""`make walk`: bring one kind of trace about, exactly, and show it as `make trace` does.

A customer of its own places one order; what goes wrong on the way is a fault switch, which strikes that order and
nobody else's where nothing else runs. The walks and what to look for in each: docs/telemetry.md.
"""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from console.backends import Backends
from console.failures import FailedError
from console.faults import Admin
from console.narration import Narrator
from console.pushes import open_device
from console.shop import Shop
from console.stack import Stack
from console.tree import Span, Tree
from console.waiting import Patience, until

_REQUEST_SECONDS = 30.0
_FAULT_SECONDS = 60
_RECONNECT_SECONDS = 0.5
_STILL_SECONDS = 1.0  # longer than an exporter keeps a batch, and what comes last is waited for by name


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """What is switched on before the order, if anything, and what its trace has in the end."""

    shows: str
    ends_with: Callable[[Tree], bool]
    fault: Mapping[str, Any] = field(default_factory=dict)

    @property
    def watcher(self) -> str:
        """The service that suffers the fault."""
        return str(self.fault["source" if "source" in self.fault else "target"])


_PUSHES = 3  # placed, packed, shipped
_EMAILS = 2  # placed, shipped


def _any(tree: Tree, wanted: Callable[[Span], bool]) -> bool:
    return any(wanted(span) for span in tree.spans())


def _is_shipped(tree: Tree) -> bool:
    done = Counter(span.operation for span in tree.spans())
    return done["SMTP send"] == _EMAILS and done["send notification"] == _PUSHES


WALKS = {
    "order": Walk(shows="a normal order", ends_with=_is_shipped),
    "redelivery": Walk(
        shows="an event that is redelivered: its consumer dies between commit and acknowledgement",
        ends_with=lambda tree: _is_shipped(tree) and _any(tree, lambda span: span.again == "applied before"),
        fault={"target": "notifications", "kind": "crash", "at": "consumer.after_commit"},
    ),
    # packing: nothing else of the order asks orders meanwhile, whereas a second email might take one of the failures
    "retries": Walk(
        shows="a job that fails twice: orders answers errors to the worker",
        ends_with=lambda tree: _is_shipped(tree) and _any(tree, lambda span: span.again == "attempt 3"),
        fault={"source": "workers", "target": "orders", "kind": "errors", "times": 2},
    ),
    "timeout": Walk(
        shows="a request whose upstream does not answer in time",
        ends_with=lambda tree: _any(tree, lambda span: bool(span.failure)),
        fault={"source": "gateway", "target": "orders", "kind": "hang", "times": 1},
    ),
}


class Walker:
    """Does one of the walks; every method raises FailedError with what to do."""

    def __init__(self, *, stack: Stack, admin: Admin, narrator: Narrator, patience: Patience | None = None) -> None:
        self._stack = stack
        self._admin = admin
        self._say = narrator
        self._patience = patience or Patience()

    async def run(self, walk: Walk) -> str:
        """Return the id of the order's trace, once all of it has come."""
        async with httpx.AsyncClient(timeout=_REQUEST_SECONDS, trust_env=False) as client:
            shop = Shop(gateway=self._stack.gateway, client=client)
            backends = Backends(stack=self._stack, client=client)
            self._say.title(walk.shows)
            await shop.until_ready(within_s=self._patience.ready)
            await self._customer(shop, backends)
            sku = await self._product(shop)
            async with self._fault(walk, client, backends), self._device(shop):
                status, trace_id = await shop.try_order([{"sku": sku, "quantity": 1}])
                self._say.done(f"ordered, answered {status}", f"trace {trace_id}")
                with self._say.waiting("waiting for all of its trace"):
                    await self._whole(walk, backends, trace_id)
        return trace_id

    async def _customer(self, shop: Shop, backends: Backends) -> None:
        """Register, and wait until that is over: what is to strike the order must not strike the welcome."""
        email, password = f"ada-{secrets.token_hex(6)}@example.org", secrets.token_urlsafe(16)
        await shop.register(email=email, password=password, name="Ada Lovelace")
        await shop.sign_in(email=email, password=password)

        async def welcomed() -> bool | None:
            listed = await shop.ask("GET", "/v2/notifications")
            return (await backends.emails(email) and listed["head"] > 0) or None

        with self._say.waiting("waiting for the welcome"):
            await until(welcomed, self._patience.emails, f"no welcome to {email}")
        self._say.done(f"registered {email}")

    @asynccontextmanager
    async def _fault(self, walk: Walk, client: httpx.AsyncClient, backends: Backends) -> AsyncIterator[None]:
        """Have the fault on, and known to who suffers it, within the block."""
        if not walk.fault:
            yield
            return
        admin = Shop(gateway=self._stack.gateway, client=client)
        await admin.sign_in(email=self._admin.email, password=self._admin.password)
        since_ns = time.time_ns()
        on = await admin.ask("POST", "/v2/faults", json={**walk.fault, "for_seconds": _FAULT_SECONDS})
        try:

            async def seen() -> bool | None:
                return await backends.said("faults_switched", service=walk.watcher, since_ns=since_ns) or None

            with self._say.waiting("waiting until the fault is on"):
                await until(seen, self._patience.ready, f"{walk.watcher} does not say that the fault is on")
            self._say.done(f"switched on: {on['kind']} {on['source']} → {on['target']}")
            yield
        finally:
            await admin.ask("DELETE", "/v2/faults", params={"source": on["source"], "target": on["target"]})

    @asynccontextmanager
    async def _device(self, shop: Shop) -> AsyncIterator[None]:
        """Have a device read what is pushed within the block; it comes back where its server dies."""
        connected = asyncio.Event()
        listening = asyncio.create_task(_listen(shop, connected))
        try:
            async with asyncio.timeout(self._patience.ready):
                await connected.wait()
            yield
        except TimeoutError:
            raise FailedError("no WebSocket could be opened: see make status") from None
        finally:
            listening.cancel()

    async def _product(self, shop: Shop) -> str:
        products = await shop.available_products()
        if not products:
            raise FailedError("no product is in stock: make clean starts over with a full catalog")
        return str(products[0]["sku"])

    async def _whole(self, walk: Walk, backends: Backends, trace_id: str) -> None:
        """Wait until the trace ends as it should and has been still for a while."""
        last, since = 0, time.monotonic()

        async def whole() -> bool | None:
            nonlocal last, since
            tree = await backends.tree(trace_id)
            spans = len(tree.spans()) if tree else 0
            if spans != last:
                last, since = spans, time.monotonic()
            still = time.monotonic() - since >= _STILL_SECONDS
            return (tree and walk.ends_with(tree) and still) or None

        await until(whole, self._patience.trace, f"an incomplete trace {trace_id} at {self._stack.jaeger}")


async def _listen(shop: Shop, connected: asyncio.Event) -> None:
    """Read pushes for ever, over one socket after the other."""
    while True:
        try:
            ticket = await shop.socket_ticket()
            async with open_device(ticket["url"], ticket["ticket"]) as (device, _):
                connected.set()
                async for _ in device.pushes():
                    pass
        except FailedError:
            await asyncio.sleep(_RECONNECT_SECONDS)
