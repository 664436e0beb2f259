"""Users, and requests to the users service with default values."""

from itertools import count
from typing import Any

import httpx

PASSWORD = "correct horse battery staple"

_address_numbers = count(1)


def registration_body(**changes: Any) -> dict[str, Any]:
    """Return a valid body of `POST /users` with a unique address. A member that is None is omitted."""
    body = {"email": f"ann{next(_address_numbers)}@hopline.example", "password": PASSWORD, "name": "Ann"} | changes
    return {name: value for name, value in body.items() if value is not None}


async def create_user(users: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    """Create a user and return it."""
    response = await users.post("/users", json=registration_body(**changes))
    assert response.status_code == 201, response.text
    user: dict[str, Any] = response.json()
    return user


async def log_in(users: httpx.AsyncClient, email: str, password: str = PASSWORD) -> httpx.Response:
    """Request tokens for a password, and return the response."""
    return await users.post("/tokens", data={"grant_type": "password", "username": email, "password": password})


async def refresh(users: httpx.AsyncClient, refresh_token: str) -> httpx.Response:
    """Request tokens for a refresh token, and return the response."""
    return await users.post("/tokens", data={"grant_type": "refresh_token", "refresh_token": refresh_token})


async def create_user_and_log_in(users: httpx.AsyncClient) -> tuple[dict[str, Any], dict[str, Any]]:
    """Create a user, log in, and return the user and the tokens."""
    user = await create_user(users)
    tokens = (await log_in(users, user["email"])).json()
    return user, tokens


def bearer(token: str) -> dict[str, str]:
    """Return the Authorization header with an access token."""
    return {"Authorization": f"Bearer {token}"}
