"""`make fault`: break the calls between two services for a while, and mend them again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from console.failures import FailedError, NobodyThereError
from console.narration import Narrator
from console.shop import Shop
from console.stack import Stack

KINDS = {
    "slow": "answers come {value} ms later",
    "errors": "{value} % of the calls are answered 503",
    "hang": "{value} % of the calls get no answer",
    "disconnect": "{value} % of the calls lose their connection",
    "crash": "ends hard at {at}",
}
NONE = "none"

_REQUEST_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin:
    """Who may switch; the defaults are those that development is seeded with."""

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
    """The fault switches of a stack. Every method raises FailedError with what to do."""

    def __init__(self, *, stack: Stack, admin: Admin, narrator: Narrator) -> None:
        self._stack = stack
        self._admin = admin
        self._say = narrator

    async def run(self, *, kind: str | None, wanted: Mapping[str, str | int]) -> None:
        """Switch `kind` on, or off (`none`), then show what is on.

        `wanted` is what the person said of `source`, `target`, `value`, `times`, `at` and `for_seconds`.
        """
        async with httpx.AsyncClient(timeout=_REQUEST_SECONDS, trust_env=False) as client:
            shop = Shop(gateway=self._stack.gateway, client=client)
            if kind not in {None, NONE} and "target" not in wanted:
                raise FailedError("which service? make fault TARGET=orders KIND=slow")
            if kind is None and wanted:
                raise FailedError(
                    f"what shall happen? KIND={'|'.join([*KINDS, NONE])}; make fault alone lists what does"
                )
            await self._sign_in(shop)
            if kind == NONE:
                between = {name: wanted[name] for name in ("source", "target") if name in wanted}
                await shop.ask("DELETE", "/v2/faults", params=between)
            elif kind:
                await shop.ask("POST", "/v2/faults", json={"kind": kind, **wanted})
            self._show((await shop.ask("GET", "/v2/faults"))["items"])

    async def _sign_in(self, shop: Shop) -> None:
        try:
            await shop.sign_in(email=self._admin.email, password=self._admin.password)
        except NobodyThereError:
            raise
        except FailedError as failure:
            raise FailedError(
                f"{failure}\nFaults are switched by an admin; one towards users is in the way until its time is over"
            ) from None

    def _show(self, faults: list[Mapping[str, Any]]) -> None:
        for fault in faults:
            what = KINDS[fault["kind"]].format_map(fault)
            self._say.done(f"{fault['source']} → {fault['target']}: {what}", f"until {fault['until'][11:19]} UTC")
        if not faults:
            self._say.done("no fault is switched on")
