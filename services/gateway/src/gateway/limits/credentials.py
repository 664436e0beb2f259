"""Rate limits of logins, registrations and token refreshes by address, and of logins and registrations by account name.

They slow down guessing. Logins with the correct password count as well. An account is never locked.
"""

from hashlib import blake2b
from typing import Annotated

from fastapi import Depends, Request

from gateway.dependencies import SettingsDep
from gateway.limits.limiter import Limiter
from gateway.limits.middleware import apply_limits
from gateway.limits.quota import Hit
from gateway.limits.rules import create_rules
from shared.validation.email_addresses import normalise_email
from shared.web.client_address import get_client_address
from shared.web.media_types import FORM, get_media_type


async def limiter(request: Request) -> Limiter:
    """Return the limiter of the process."""
    limiter: Limiter = request.app.state.limiter
    return limiter


LimiterDep = Annotated[Limiter, Depends(limiter)]


async def limit_credentials(request: Request, limiter: LimiterDep, settings: SettingsDep) -> None:
    """Count a login, a registration or a refresh, which has no account name. This is a dependency of routes.

    Raises:
        TooManyRequestsError: A quota is exceeded.
    """
    rules = create_rules(settings)
    hits = [Hit(quota=rules.credentials_by_address, subject=get_client_address(request.scope))]
    account = await _get_account_key(request)
    if account:
        hits.append(Hit(quota=rules.credentials_by_name, subject=account))
    await apply_limits(limiter, request.scope, hits)


async def _get_account_key(request: Request) -> str:
    """Return a hash of the account name, equal for all spellings of an address; empty if there is no name.

    The body is parsed in the same way as in the users service. Otherwise a login with a name that only the users
    service finds would have no limit by name. The name is hashed, so that Redis contains no names of accounts.
    """
    name = await _get_form_username(request) or await _get_json_email(request)
    if not isinstance(name, str) or not name.strip():
        return ""
    return blake2b(_normalise(name).encode(errors="replace"), digest_size=16).hexdigest()


async def _get_form_username(request: Request) -> object:
    await request.body()  # the request caches its body, so that the route can forward it
    if get_media_type(request) != FORM:
        return ""
    async with request.form() as form:
        return form.get("username")


async def _get_json_email(request: Request) -> object:
    try:
        content = await request.json()
    except (ValueError, RecursionError):
        return ""
    return content.get("email") if isinstance(content, dict) else ""


def _normalise(name: str) -> str:
    try:
        return normalise_email(name)
    except ValueError:  # no account has this name
        return name.strip().lower()
