"""Sessions of browsers: the refresh token stays in a cookie that scripts cannot read, the access token in the page."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urlencode

import structlog
from pydantic import SecretStr, ValidationError

from gateway.browser.schemas import GrantedTokens, Login
from gateway.clients import Upstream, UpstreamRequest
from gateway.errors import NoSessionError, UpstreamBrokenError
from gateway.responses import FIRST_ERROR_STATUS, UpstreamResponse, UpstreamResponseError
from shared.errors.problems import ProblemError
from shared.web.media_types import FORM

log = structlog.get_logger(__name__)

COOKIE = "hopline_refresh"
COOKIE_PATH = "/browser/session"
COOKIE_SECONDS = 30 * 24 * 60 * 60
"""The lifetime of a refresh token, counted from the login. A cookie that is set by a refresh can outlive it."""

_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,256}")


class SessionService:
    """Begins, continues and ends sessions with the tokens of the users service."""

    def __init__(self, *, users: Upstream) -> None:
        self._users = users

    async def log_in(self, login: Login) -> GrantedTokens:
        """Return the tokens of a new session.

        Raises:
            UpstreamResponseError: The response is a problem, for example because the password is wrong.
            ProblemError: The call failed (`Upstream.send`).
        """
        password = login.password.get_secret_value()
        response = await self._request_tokens({"grant_type": "password", "username": login.email, "password": password})
        return _tokens(response)

    async def refresh(self, refresh_token: SecretStr | None) -> GrantedTokens:
        """Return new tokens for a refresh token, which cannot be used again.

        Raises:
            NoSessionError: The token is missing or not valid.
            UpstreamResponseError: The response is another problem.
            ProblemError: The call failed (`Upstream.send`).
        """
        token = refresh_token.get_secret_value() if refresh_token else ""
        if not _TOKEN.fullmatch(token):
            raise NoSessionError(f"The request has no valid cookie {COOKIE}")
        response = await self._request_tokens({"grant_type": "refresh_token", "refresh_token": token})
        if response.status == HTTPStatus.UNAUTHORIZED:
            raise NoSessionError("The session has ended, or its cookie was used twice")
        return _tokens(response)

    async def end(self, refresh_token: SecretStr | None) -> None:
        """Revoke the tokens of a session. A failure is only logged, because the browser deletes its cookie anyway."""
        token = refresh_token.get_secret_value() if refresh_token else ""
        if not _TOKEN.fullmatch(token):
            return
        try:
            response = await self._send("/tokens/revocation", {"token": token})
        except ProblemError as error:
            log.warning("session_not_revoked", reason=str(error))
            return
        if response.status >= FIRST_ERROR_STATUS:
            log.warning("session_not_revoked", reason=f"users responded {response.status}")

    async def _request_tokens(self, form: Mapping[str, str]) -> UpstreamResponse:
        return await self._send("/tokens", form)

    async def _send(self, path: str, form: Mapping[str, str]) -> UpstreamResponse:
        return await self._users.send(
            UpstreamRequest(
                method="POST",
                path=path,
                template=path,
                headers={"content-type": FORM},
                body=urlencode(form).encode(),
            )
        )


def _tokens(response: UpstreamResponse) -> GrantedTokens:
    if response.status != HTTPStatus.OK:
        raise UpstreamResponseError(response)
    try:
        return GrantedTokens.model_validate_json(response.body)
    except ValidationError:
        raise UpstreamBrokenError("users responded 200 without tokens") from None
