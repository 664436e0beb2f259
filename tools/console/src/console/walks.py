"""`make walk`: produces one kind of trace and prints it like `make trace`.

A new customer places one order. A fault switch causes the failure. The fault affects only this order if no other
requests are sent.
docs/telemetry.md describes the walks and what to look for in each.
"""

import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from console.backends import Backends
from console.faults import Admin
from console.narration import Narrator
from console.shop import list_available_products, open_shop, trace_id_of, wait_until_ready
from console.stack import Stack
from console.tree import Span, Tree
from console.waiting import CompletionDetector, TimeoutBudget, until
from hopline_client import api
from hopline_client.backoff import NO_RETRIES, Backoff
from hopline_client.device import Device
from hopline_client.rest import Client

_REQUEST_SECONDS = 30.0
_FAULT_SECONDS = 60
_RECONNECT = Backoff(first_s=0.5, max_s=0.5)
_QUIET_SECONDS = 1.0  # longer than the batch delay of an exporter; `has_ended` waits for the last spans


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """One walk. `fault` is injected before the order. `has_ended` returns whether a trace has its last spans."""

    description: str
    has_ended: Callable[[Tree], bool]
    fault: Mapping[str, Any] = field(default_factory=dict)

    @property
    def injecting_service(self) -> str:
        """The service that injects the fault."""
        return str(self.fault["source" if "source" in self.fault else "target"])


_PUSHES = 3  # placed, packed, shipped
_EMAILS = 2  # placed, shipped


def _any(tree: Tree, predicate: Callable[[Span], bool]) -> bool:
    return any(predicate(span) for span in tree.spans())


def _is_shipped(tree: Tree) -> bool:
    done = Counter(span.operation for span in tree.spans())
    return done["SMTP send"] == _EMAILS and done["send notification"] == _PUSHES


WALKS = {
    "order": Walk(description="a normal order", has_ended=_is_shipped),
    "redelivery": Walk(
        description="an event that is redelivered: its consumer crashes between commit and acknowledgement",
        has_ended=lambda tree: _is_shipped(tree) and _any(tree, lambda span: span.repeat_reason == "applied before"),
        fault={"target": "notifications", "kind": "crash", "at": "consumer.after_commit"},
    ),
    # The fault affects the packing, because no other job of the order calls orders at that time. Two email jobs run at
    # the same time, so each of them could receive one of the errors.
    "retries": Walk(
        description="a job that fails twice: orders responds to the worker with errors",
        has_ended=lambda tree: _is_shipped(tree) and _any(tree, lambda span: span.repeat_reason == "attempt 3"),
        fault={"source": "workers", "target": "orders", "kind": "errors", "times": 2},
    ),
    "timeout": Walk(
        description="a request whose upstream does not respond in time",
        has_ended=lambda tree: _any(tree, lambda span: bool(span.failure)),
        fault={"source": "gateway", "target": "orders", "kind": "hang", "times": 1},
    ),
}


class Walker:
    """Runs one of the walks."""

    def __init__(self, *, stack: Stack, admin: Admin, narrator: Narrator, timeout: TimeoutBudget | None = None) -> None:
        self._stack = stack
        self._admin = admin
        self._narrator = narrator
        self._timeout = timeout or TimeoutBudget()

    async def run(self, walk: Walk) -> str:
        """Run the walk, wait until its trace is complete, and return the trace id.

        Raises:
            FailedError: A step of the walk failed.
        """
        async with open_shop(self._stack.gateway, timeout_s=_REQUEST_SECONDS) as shop:
            backends = Backends(stack=self._stack, client=shop.http)
            self._narrator.print_title(walk.description)
            await wait_until_ready(shop, timeout_s=self._timeout.ready)
            await self._register(shop, backends)
            product, *_ = await list_available_products(shop)
            device = Device(client=shop, on_frame=lambda _: None, backoff=_RECONNECT)
            async with self._injected_fault(walk, shop, backends), device:
                response = await shop.send(api.place_order((product["sku"], 1)))
                trace_id = trace_id_of(response)
                self._narrator.print_step(f"ordered, got {response.status_code}", f"trace {trace_id}")
                with self._narrator.waiting("waiting for the complete trace"):
                    detector = CompletionDetector(walk.has_ended, _QUIET_SECONDS)
                    await backends.wait_for_trace(trace_id, detector, timeout_s=self._timeout.trace)
        self._narrator.print_pointer("browser", self._stack.gateway)
        return trace_id

    async def _register(self, shop: Client, backends: Backends) -> None:
        """Register a customer, and wait for the welcome email and notification, which the fault must not affect."""
        email, password = f"ada-{secrets.token_hex(6)}@example.org", secrets.token_urlsafe(16)
        await shop.call(api.register(email=email, password=password, name="Ada Lovelace"))
        await shop.log_in(email=email, password=password)

        async def is_welcomed() -> bool | None:
            listed = await shop.call(api.list_notifications())
            return (await backends.get_emails(email) and listed["head"] > 0) or None

        with self._narrator.waiting("waiting for the welcome email"):
            await until(is_welcomed, self._timeout.emails, f"no welcome email to {email}")
        self._narrator.print_step(f"registered {email}")

    @asynccontextmanager
    async def _injected_fault(self, walk: Walk, shop: Client, backends: Backends) -> AsyncIterator[None]:
        """Inject the fault. The block begins when the service that injects it has read the switch."""
        if not walk.fault:
            yield
            return
        admin = Client(http=shop.http, retry_policy=NO_RETRIES, timeout_s=_REQUEST_SECONDS)
        await admin.log_in(email=self._admin.email, password=self._admin.password)
        since_ns, service = time.time_ns(), walk.injecting_service
        fault = await admin.call(api.inject_fault(**walk.fault, for_seconds=_FAULT_SECONDS))
        try:

            async def is_read() -> bool | None:
                injected = backends.has_logged_fault(
                    service=service, kind=fault["kind"], target=fault["target"], since_ns=since_ns
                )
                return await injected or None

            with self._narrator.waiting("waiting until the fault is injected"):
                await until(is_read, self._timeout.ready, f"{service} did not log that the fault is injected")
            self._narrator.print_step(f"injected: {fault['kind']} {fault['source']} → {fault['target']}")
            yield
        finally:
            await admin.call(api.remove_faults(source=fault["source"], target=fault["target"]))
