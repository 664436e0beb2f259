"""`make demo`: the journey of one order, and a report on it, told while it happens."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from console.backends import Backends
from console.drawing import print_tree
from console.failures import FailedError
from console.narration import Narrator
from console.pushes import Device, Push, open_device
from console.reports import ReportStory
from console.shop import Placed, Shop
from console.stack import Stack
from console.tree import Tree
from console.waiting import Patience, Settling, until

EXPECTED_PUSHES = ("order.placed", "order.packed", "order.shipped")
EXPECTED_EMAILS = 3  # welcome, placed, shipped
EXPECTED_SERVICES = frozenset({"gateway", "orders", "notifications", "workers", "users"})

_REQUEST_SECONDS = 10.0


class Demo:
    """Registers, listens, orders, watches, and shows the trace of it all."""

    def __init__(self, *, stack: Stack, narrator: Narrator, downloads: Path, patience: Patience | None = None) -> None:
        self._stack = stack
        self._say = narrator
        self._downloads = downloads
        self._patience = patience or Patience()

    async def run(self) -> dict[str, Any]:
        """Return a summary of what was seen; raises FailedError when something did not come in time."""
        began = time.perf_counter()
        async with httpx.AsyncClient(timeout=_REQUEST_SECONDS, trust_env=False) as client:
            shop = Shop(gateway=self._stack.gateway, client=client)
            backends = Backends(stack=self._stack, client=client)
            self._say.title("A customer comes in")
            self._say.done(
                f"the stack at {self._stack.gateway} is {await shop.until_ready(within_s=self._patience.ready)}"
            )
            email = await self._sign_up(shop)
            async with self._listening(shop) as device:
                self._say.title("An order is placed")
                placed, sent_at, answered_at = await self._order(shop)
                pushes = await self._watch(device, placed, sent_at)
                emails = await self._emails(backends, email)
                tree = await self._tree(backends, placed.trace_id)
                self._say.title("What happened, as one trace")
                print_tree(tree, self._say.console)
                self._say.title("A report is made in the background")
                report = await self._report(shop).tell(device, order_id=placed.order["id"])
        self._point(tree)
        return {
            "trace_id": placed.trace_id,
            "order_id": placed.order["id"],
            "user_id": placed.order["user_id"],
            "email": email,
            "response_ms": _milliseconds(sent_at, answered_at),
            "push_ms": next(
                _milliseconds(sent_at, push.came_at) for push in pushes if push["kind"] == EXPECTED_PUSHES[0]
            ),
            "frames": [
                {**push, "after_ms": _milliseconds(sent_at, push.came_at), "trace_id": push.trace_id} for push in pushes
            ],
            "email_ids": [item["ID"] for item in emails],
            "emails": [{"id": item["ID"], "subject": item["Subject"]} for item in emails],
            "services": tree.services(),
            "spans": len(tree.spans()),
            "roots": len(tree.roots),
            "missing_parents": tree.missing_parents,
            "trace_url": self._stack.trace_page(placed.trace_id),
            "report": report,
            "total_ms": _milliseconds(began, time.perf_counter()),
        }

    async def _sign_up(self, shop: Shop) -> str:
        email, password = f"ada-{secrets.token_hex(6)}@example.org", secrets.token_urlsafe(16)
        user = await shop.register(email=email, password=password, name="Ada Lovelace")
        self._say.done(f"registered {email}", f"user {user['id']}")
        await shop.sign_in(email=email, password=password)
        self._say.done("got a token")
        return email

    @asynccontextmanager
    async def _listening(self, shop: Shop) -> AsyncIterator[Device]:
        ticket = await shop.socket_ticket()
        async with open_device(ticket["url"], ticket["ticket"]) as (device, welcome):
            self._say.done(f"listening at {ticket['url']}", f"welcome, head {welcome['head']}")
            yield device

    async def _order(self, shop: Shop) -> tuple[Placed, float, float]:
        products = await shop.available_products()
        if not products:
            raise FailedError("no product is in stock: make clean starts over with a full catalog")
        chosen = products[:2]
        sent_at = time.perf_counter()
        placed = await shop.place_order([{"sku": product["sku"], "quantity": 1} for product in chosen])
        answered_at = time.perf_counter()
        names = " and ".join(product["name"] for product in chosen)
        total = f"{placed.order['total_cents'] / 100:.2f} {placed.order['currency']}"
        self._say.done(
            f"ordered {names} for {total}",
            f"order {placed.order['id']}, answered in {_milliseconds(sent_at, answered_at)} ms",
        )
        return placed, sent_at, answered_at

    async def _watch(self, device: Device, placed: Placed, sent_at: float) -> list[Push]:
        """Show the pushes until the last expected one about this order; the time counts from the order."""
        pushes: list[Push] = []
        missing = list(EXPECTED_PUSHES)
        try:
            with self._say.waiting("waiting for pushes"):
                async with asyncio.timeout(self._patience.pushes):
                    async for push in device.pushes():
                        pushes.append(push)
                        ours = push["data"].get("order_id") == placed.order["id"]
                        traced = "same trace" if push.trace_id == placed.trace_id else f"trace {push.trace_id[:8]}"
                        note = f"notification {push['seq']}, {traced}"
                        self._say.arrived(_milliseconds(sent_at, push.came_at), push["kind"], note)
                        if ours and push.trace_id != placed.trace_id:
                            raise FailedError(f"{push['kind']} carries trace {push.trace_id}, not {placed.trace_id}")
                        if ours and push["kind"] in missing:
                            missing.remove(push["kind"])
                        if not missing:
                            break
        except TimeoutError:
            raise FailedError(
                f"no push of {', '.join(missing)} within {self._patience.pushes:g} s: see make status"
            ) from None
        return pushes

    async def _emails(self, backends: Backends, address: str) -> Sequence[Mapping[str, Any]]:
        async def enough() -> Sequence[Mapping[str, Any]] | None:
            found = await backends.emails(address)
            return found if len(found) >= EXPECTED_EMAILS else None

        with self._say.waiting("waiting for the emails"):
            found = await until(enough, self._patience.emails, f"fewer than {EXPECTED_EMAILS} emails to {address}")
        for email in found:
            self._say.done(f"email: {email['Subject']}", f"{self._stack.mailpit}/view/{email['ID']}")
        return found

    async def _tree(self, backends: Backends, trace_id: str) -> Tree:
        """Wait until every service's spans are there, hang together, and no more come."""
        settling = Settling(EXPECTED_SERVICES, self._patience.settled)

        async def settled() -> Tree | None:
            tree = await backends.tree(trace_id)
            return tree if tree and settling.saw(tree, time.monotonic()) else None

        with self._say.waiting("waiting for the last spans to be exported"):
            return await until(settled, self._patience.trace, f"an incomplete trace {trace_id} at {self._stack.jaeger}")

    def _report(self, shop: Shop) -> ReportStory:
        return ReportStory(shop=shop, narrator=self._say, folder=self._downloads, within_s=self._patience.report)

    def _point(self, tree: Tree) -> None:
        self._say.title("Where to look next")
        self._say.pointer("this trace", self._stack.trace_page(tree.trace_id))
        self._say.pointer("with logs", f"make trace ID={tree.trace_id}")
        self._say.pointer("mailbox", self._stack.mailpit)
        self._say.pointer("API", f"{self._stack.gateway}/v2/docs")


def _milliseconds(start: float, end: float) -> float:
    return round((end - start) * 1_000, 1)
