"""Routes of the page in every environment: its configuration, and its session."""

from fastapi import APIRouter, Depends, Request, Response

from gateway.browser.csrf import reject_cross_site
from gateway.browser.dependencies import RefreshToken, SessionsDep
from gateway.browser.schemas import BrowserConfig, GrantedTokens, Login, SessionToken
from gateway.browser.sessions import COOKIE, COOKIE_PATH, COOKIE_SECONDS
from gateway.dependencies import SettingsDep
from gateway.errors import NoSessionError
from gateway.limits.credentials import limit_credentials
from gateway.settings import Settings
from shared.config import Environment

router = APIRouter(prefix="/browser", include_in_schema=False)
session_router = APIRouter(prefix=COOKIE_PATH, include_in_schema=False, dependencies=[Depends(reject_cross_site)])


@router.get("/config")
async def read_config(settings: SettingsDep, response: Response) -> BrowserConfig:
    """Return the settings of the deployment that the page uses."""
    response.headers["Cache-Control"] = "no-store"
    return BrowserConfig.of(settings)


@session_router.post("", dependencies=[Depends(limit_credentials)])
async def log_in(
    login: Login, request: Request, response: Response, sessions: SessionsDep, settings: SettingsDep
) -> SessionToken:
    """Begin a session: return its access token and set the cookie."""
    return _begin(request, response, settings, await sessions.log_in(login))


@session_router.post("/refresh", dependencies=[Depends(limit_credentials)])
async def refresh(
    request: Request, response: Response, sessions: SessionsDep, settings: SettingsDep, token: RefreshToken = None
) -> SessionToken:
    """Continue the session of the cookie: return a new access token and replace the cookie."""
    try:
        return _begin(request, response, settings, await sessions.refresh(token))
    except NoSessionError as error:
        _delete_cookie(request, response, settings)
        error.headers["Set-Cookie"] = response.headers["Set-Cookie"]
        raise


@session_router.delete("", status_code=204)
async def log_out(
    request: Request, response: Response, sessions: SessionsDep, settings: SettingsDep, token: RefreshToken = None
) -> None:
    """End the session: revoke its refresh tokens and remove the cookie."""
    await sessions.end(token)
    _delete_cookie(request, response, settings)


def _begin(request: Request, response: Response, settings: Settings, tokens: GrantedTokens) -> SessionToken:
    response.headers["Cache-Control"] = "no-store"
    response.set_cookie(
        COOKIE,
        tokens.refresh_token,
        max_age=COOKIE_SECONDS,
        path=COOKIE_PATH,
        secure=_is_secure(request, settings),
        httponly=True,
        samesite="strict",
    )
    return SessionToken.model_validate(tokens.model_dump())


def _delete_cookie(request: Request, response: Response, settings: Settings) -> None:
    response.delete_cookie(
        COOKIE, path=COOKIE_PATH, secure=_is_secure(request, settings), httponly=True, samesite="strict"
    )


def _is_secure(request: Request, settings: Settings) -> bool:
    """Return whether the cookie is for HTTPS only.

    It is in production, because behind a proxy that terminates TLS the scheme of the request may be `http`.
    """
    return request.url.scheme == "https" or settings.environment is Environment.PRODUCTION
