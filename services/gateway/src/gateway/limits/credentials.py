"""The closer limits of logins and registrations: by address, and by the account's name.

They slow guessing down whoever guesses and whatever is right or wrong; no account is ever locked.
"""

from hashlib import blake2b
from urllib.parse import parse_qs

import orjson
from fastapi import Request

from gateway.limits.middleware import address_of, charge
from gateway.limits.quota import Charge
from gateway.limits.rules import rules


async def limit_credentials(request: Request) -> None:
    """A dependency of routes that take credentials; raises TooManyRequests."""
    quotas = rules(request.app.state.settings)
    charges = [Charge(quota=quotas.credentials_by_address, whose=address_of(request.scope))]
    name = account_named(await request.body(), request.headers.get("Content-Type", ""))
    if name:
        charges.append(Charge(quota=quotas.credentials_by_name, whose=name))
    await charge(request.scope, charges)


def account_named(body: bytes, content_type: str) -> str:
    """Whose account a body is about, as a hash, the same for spellings that are one address; empty where it says none.

    Hashed, because Redis has no business knowing who has an account.
    """
    if content_type.startswith("application/x-www-form-urlencoded"):
        given: object = (parse_qs(body.decode(errors="replace")).get("username") or [""])[0]
    else:
        given = _email_of(body)
    if not isinstance(given, str) or not given.strip():
        return ""
    return blake2b(given.strip().lower().encode(errors="replace"), digest_size=16).hexdigest()


def _email_of(body: bytes) -> object:
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    return told.get("email") if isinstance(told, dict) else ""
