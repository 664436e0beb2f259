"""`make fault`: inject a fault into the calls between two services for some time, list the faults, or remove them."""

from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from console.failures import FailedError
from console.narration import Narrator
from console.shop import open_shop
from console.stack import Stack
from hopline_client import api
from hopline_client.api import ProblemError
from hopline_client.models import Fault
from hopline_client.rest import Client

KINDS = {
    "slow": "responses are delayed by {value} ms",
    "errors": "{value} % of the calls get 503",
    "hang": "{value} % of the calls get no response",
    "disconnect": "{value} % of the calls lose their connection",
    "crash": "crashes at {at}",
}
NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin:
    """The account of an admin, by default that of the development data."""

    email: str
    password: str

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Admin":
        """Read ADMIN_EMAIL and ADMIN_PASSWORD, as the users service does."""
        return cls(
            email=environ.get("ADMIN_EMAIL") or "admin@hopline.example",
            password=environ.get("ADMIN_PASSWORD") or "hopline-admin",
        )


class Switches:
    """Injects, removes and lists the faults of a stack."""

    def __init__(self, *, stack: Stack, admin: Admin, narrator: Narrator) -> None:
        self._stack = stack
        self._admin = admin
        self._narrator = narrator

    async def run(self, *, kind: str | None, fields: Mapping[str, str | int]) -> None:
        """Inject a fault, or remove the matching faults (`none`), then list the faults.

        `fields` can have `source`, `target`, `value`, `times`, `at` and `for_seconds`.

        Raises:
            FailedError: The arguments are incomplete, the login failed, or the gateway rejected the request.
        """
        if kind not in {None, NONE} and "target" not in fields:
            raise FailedError("Missing TARGET. Run: make fault TARGET=orders KIND=slow")
        if kind is None and fields:
            raise FailedError(
                f"Missing KIND. Expected one of: {', '.join([*KINDS, NONE])}. `make fault` lists the faults"
            )
        async with open_shop(self._stack.gateway) as shop:
            await self._log_in(shop)
            if kind == NONE:
                filters = {name: str(fields[name]) for name in ("source", "target") if name in fields}
                await shop.call(api.remove_faults(**filters))
            elif kind:
                await shop.call(api.inject_fault(kind=kind, **fields))
            self._show((await shop.call(api.list_faults()))["items"])

    async def _log_in(self, shop: Client) -> None:
        try:
            await shop.log_in(email=self._admin.email, password=self._admin.password)
        except httpx.ConnectError:
            raise  # `open_shop` reports that nothing listens
        except (ProblemError, httpx.TransportError) as error:
            raise FailedError(
                f"{error}\nOnly an admin can inject faults. If a fault affects calls to users, wait until it ends"
            ) from None

    def _show(self, faults: list[Fault]) -> None:
        for fault in faults:
            effect = KINDS[fault["kind"]].format_map(fault)
            self._narrator.print_step(
                f"{fault['source']} → {fault['target']}: {effect}", f"until {fault['until'][11:19]} UTC"
            )
        if not faults:
            self._narrator.print_step("no fault is injected")
