"""The closer limits of logins and registrations: by address, and by the account's name.

They slow guessing down whoever guesses and whatever is right or wrong; no account is ever locked.
"""

from hashlib import blake2b
from typing import Annotated

from fastapi import Depends, Request

from gateway.dependencies import SettingsDep
from gateway.limits.limiter import Limiter
from gateway.limits.middleware import charge
from gateway.limits.quota import Charge
from gateway.limits.rules import rules
from shared.addresses import normalised_email
from shared.client_address import address_of
from shared.media_types import FORM, media_type_of


async def limiter(request: Request) -> Limiter:
    """Return the limiter of the process."""
    limiter: Limiter = request.app.state.limiter
    return limiter


LimiterDep = Annotated[Limiter, Depends(limiter)]


async def limit_credentials(request: Request, limiter: LimiterDep, settings: SettingsDep) -> None:
    """A dependency of routes that take credentials; raises TooManyRequests."""
    quotas = rules(settings)
    charges = [Charge(quota=quotas.credentials_by_address, whose=address_of(request.scope))]
    name = await _account_named(request)
    if name:
        charges.append(Charge(quota=quotas.credentials_by_name, whose=name))
    await charge(limiter, request.scope, charges)


async def _account_named(request: Request) -> str:
    """Whose account a request is about, as a hash, the same for spellings that are one address; empty where none.

    Read by the parsers that the service reads it with: what they take for a name and we do not is guessed at freely.
    Hashed, because Redis has no business knowing who has an account.
    """
    given = await _username_of(request) or await _email_of(request)
    if not isinstance(given, str) or not given.strip():
        return ""
    return blake2b(_one_spelling(given).encode(errors="replace"), digest_size=16).hexdigest()


async def _username_of(request: Request) -> object:
    await request.body()  # kept by the request: it is passed on as it came
    if media_type_of(request) != FORM:
        return ""
    async with request.form() as form:
        return form.get("username")


async def _email_of(request: Request) -> object:
    try:
        told = await request.json()
    except (ValueError, RecursionError):
        return ""
    return told.get("email") if isinstance(told, dict) else ""


def _one_spelling(name: str) -> str:
    try:
        return normalised_email(name)
    except ValueError:  # nobody's account
        return name.strip().lower()
