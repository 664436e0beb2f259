"""Rejects cross-site requests, because browsers send the session's cookie also with requests that other sites cause."""

from fastapi import Request

from gateway.errors import CrossSiteRequestError

CSRF_HEADER = "X-Hopline-CSRF"
"""A page of another origin can set this header only after a preflight request, which the gateway does not allow."""


async def reject_cross_site(request: Request) -> None:
    """Accept requests of the shop's own page only. This is a dependency of routes.

    `SameSite` of the cookie is the first protection, but a page on another subdomain or port belongs to the same site.

    Raises:
        CrossSiteRequestError: The header is missing, or the browser names another site or origin.
    """
    headers = request.headers
    if headers.get(CSRF_HEADER) != "1":
        raise CrossSiteRequestError(f"The header {CSRF_HEADER}: 1 is missing")
    if headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        raise CrossSiteRequestError("Sec-Fetch-Site is not same-origin")
    host, origin = headers.get("Host", "").lower(), headers.get("Origin")
    if origin is not None and origin.lower() not in {f"http://{host}", f"https://{host}"}:
        raise CrossSiteRequestError("Origin and Host name different hosts")
