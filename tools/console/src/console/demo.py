"""`make demo`: one order and one report, printed step by step."""

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from console.backends import Backends
from console.drawing import print_tree
from console.failures import FailedError
from console.narration import Narrator
from console.reports import ReportDemo
from console.shop import list_available_products, open_shop, trace_id_of, wait_until_ready
from console.stack import Stack
from console.tree import Tree
from console.waiting import CompletionDetector, TimeoutBudget, until
from hopline_client import api
from hopline_client.device import Device
from hopline_client.models import Order
from hopline_client.realtime import Frame
from hopline_client.rest import Client

EXPECTED_PUSHES = ("order.placed", "order.packed", "order.shipped")
EXPECTED_EMAILS = 3  # welcome, placed, shipped
EXPECTED_SERVICES = frozenset({"gateway", "orders", "notifications", "workers", "users"})


@dataclass(frozen=True, kw_only=True)
class PlacedOrder:
    """An accepted order and its trace, with the times of its request and its response by `time.perf_counter()`."""

    order: Order
    trace_id: str
    sent_at: float
    responded_at: float

    def after_ms(self, time_s: float) -> float:
        """Return the milliseconds from the order to a time of `time.perf_counter()`."""
        return _milliseconds(self.sent_at, time_s)


class Demo:
    """Registers a customer, places an order, prints its notifications, emails and trace, and downloads a report."""

    def __init__(
        self, *, stack: Stack, narrator: Narrator, downloads: Path, timeout: TimeoutBudget | None = None
    ) -> None:
        self._stack = stack
        self._narrator = narrator
        self._downloads = downloads
        self._timeout = timeout or TimeoutBudget()

    async def run(self) -> dict[str, Any]:
        """Return a summary. Raises FailedError if something does not arrive in time."""
        began = time.perf_counter()
        async with open_shop(self._stack.gateway) as shop:
            backends = Backends(stack=self._stack, client=shop.http)
            self._narrator.print_title("A customer registers")
            state = await wait_until_ready(shop, timeout_s=self._timeout.ready)
            self._narrator.print_step(f"the stack at {self._stack.gateway} is {state}")
            email = await self._sign_up(shop)
            async with Device(client=shop, resumes=False) as device:
                self._narrator.print_step(f"listening at {device.url}", f"welcome, head {device.welcome['head']}")
                self._narrator.print_title("An order is placed")
                placed = await self._place_order(shop)
                pushes = await self._wait_for_pushes(device, placed)
                emails = await self._wait_for_emails(backends, email)
                tree = await self._wait_for_trace(backends, placed.trace_id)
                self._narrator.print_title("The trace of the order")
                print_tree(tree, self._narrator.console)
                self._narrator.print_title("A report is created in the background")
                report = await self._report_demo(shop).run(device, order_id=placed.order["id"])
        self._print_pointers(tree)
        return {
            "trace_id": placed.trace_id,
            "order_id": placed.order["id"],
            "user_id": placed.order["user_id"],
            "email": email,
            "response_ms": placed.after_ms(placed.responded_at),
            "push_ms": next(placed.after_ms(push.received_at) for push in pushes if push["kind"] == EXPECTED_PUSHES[0]),
            "frames": [
                {**push, "after_ms": placed.after_ms(push.received_at), "trace_id": push.trace_id} for push in pushes
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

    async def _sign_up(self, shop: Client) -> str:
        email, password = f"ada-{secrets.token_hex(6)}@example.org", secrets.token_urlsafe(16)
        user = await shop.call(api.register(email=email, password=password, name="Ada Lovelace"))
        self._narrator.print_step(f"registered {email}", f"user {user['id']}")
        await shop.log_in(email=email, password=password)
        self._narrator.print_step("received a token")
        return email

    async def _place_order(self, shop: Client) -> PlacedOrder:
        chosen = (await list_available_products(shop))[:2]
        request = api.place_order(*((product["sku"], 1) for product in chosen))
        sent_at = time.perf_counter()
        response = await shop.send(request)
        responded_at = time.perf_counter()
        order = api.read(request, response)
        placed = PlacedOrder(order=order, trace_id=trace_id_of(response), sent_at=sent_at, responded_at=responded_at)
        names = " and ".join(product["name"] for product in chosen)
        self._narrator.print_step(
            f"ordered {names} for {order['total_cents'] / 100:.2f} {order['currency']}",
            f"order {order['id']}, response after {placed.after_ms(responded_at)} ms",
        )
        return placed

    async def _wait_for_pushes(self, device: Device, placed: PlacedOrder) -> list[Frame]:
        """Print notifications until all expected ones about this order have arrived."""
        pushes: list[Frame] = []
        missing = list(EXPECTED_PUSHES)
        try:
            with self._narrator.waiting("waiting for notifications"):
                async with asyncio.timeout(self._timeout.pushes):
                    async for push in device.notifications():
                        pushes.append(push)
                        ours = push["data"].get("order_id") == placed.order["id"]
                        traced = "same trace" if push.trace_id == placed.trace_id else f"trace {push.trace_id[:8]}"
                        note = f"notification {push['seq']}, {traced}"
                        self._narrator.print_arrival(placed.after_ms(push.received_at), push["kind"], note)
                        if ours and push.trace_id != placed.trace_id:
                            raise FailedError(f"{push['kind']} carries trace {push.trace_id}, not {placed.trace_id}")
                        if ours and push["kind"] in missing:
                            missing.remove(push["kind"])
                        if not missing:
                            break
        except TimeoutError:
            raise FailedError(
                f"no notification {', '.join(missing)} within {self._timeout.pushes:g} s: see make status"
            ) from None
        return pushes

    async def _wait_for_emails(self, backends: Backends, address: str) -> Sequence[Mapping[str, Any]]:
        async def find_emails() -> Sequence[Mapping[str, Any]] | None:
            found = await backends.get_emails(address)
            return found if len(found) >= EXPECTED_EMAILS else None

        with self._narrator.waiting("waiting for the emails"):
            found = await until(find_emails, self._timeout.emails, f"fewer than {EXPECTED_EMAILS} emails to {address}")
        for email in found:
            self._narrator.print_step(f"email: {email['Subject']}", f"{self._stack.mailpit}/view/{email['ID']}")
        return found

    async def _wait_for_trace(self, backends: Backends, trace_id: str) -> Tree:
        """Wait until the trace has spans of every service, is connected, and no further spans arrive."""
        detector = CompletionDetector(has_expected_spans, self._timeout.completed)
        with self._narrator.waiting("waiting for the last spans to be exported"):
            return await backends.wait_for_trace(trace_id, detector, timeout_s=self._timeout.trace)

    def _report_demo(self, shop: Client) -> ReportDemo:
        return ReportDemo(shop=shop, narrator=self._narrator, folder=self._downloads, within_s=self._timeout.report)

    def _print_pointers(self, tree: Tree) -> None:
        self._narrator.print_title("Where to look next")
        self._narrator.print_pointer("the shop", self._stack.gateway)
        self._narrator.print_pointer("this trace", self._stack.trace_page(tree.trace_id))
        self._narrator.print_pointer("with logs", f"make trace ID={tree.trace_id}")
        self._narrator.print_pointer("mailbox", self._stack.mailpit)
        self._narrator.print_pointer("API", f"{self._stack.gateway}/v2/docs")


def has_expected_spans(tree: Tree) -> bool:
    """Return whether the trace is connected and has spans of every service."""
    return tree.is_whole and EXPECTED_SERVICES.issubset(tree.services())


def _milliseconds(start: float, end: float) -> float:
    return round((end - start) * 1_000, 1)
