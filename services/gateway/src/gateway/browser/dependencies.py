"""Dependencies of the browser application's routes."""

from typing import Annotated

from fastapi import Cookie, Depends
from pydantic import SecretStr

from gateway.browser.sessions import COOKIE, SessionService
from gateway.dependencies import UsersDep


async def sessions(users: UsersDep) -> SessionService:
    """Return the service for the sessions of browsers."""
    return SessionService(users=users)


SessionsDep = Annotated[SessionService, Depends(sessions)]
RefreshToken = Annotated[SecretStr | None, Cookie(alias=COOKIE)]
