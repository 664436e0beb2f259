"""What tests say when the details do not matter."""

from itertools import count
from typing import Any

import httpx

PASSWORD = "correct horse battery staple"

_numbers = count(1)


def registration(**changes: Any) -> dict[str, Any]:
    """A valid body of `POST /users` with an address of its own; a member given as None is left out."""
    body = {"email": f"ann{next(_numbers)}@hopline.example", "password": PASSWORD, "name": "Ann"} | changes
    return {name: value for name, value in body.items() if value is not None}


async def registered(users: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    """A new user, as the service answers."""
    response = await users.post("/users", json=registration(**changes))
    assert response.status_code == 201, response.text
    user: dict[str, Any] = response.json()
    return user


async def log_in(users: httpx.AsyncClient, email: str, password: str = PASSWORD) -> httpx.Response:
    """The answer to a login."""
    return await users.post("/tokens", data={"grant_type": "password", "username": email, "password": password})


async def refresh(users: httpx.AsyncClient, refresh_token: str) -> httpx.Response:
    """The answer to a refresh."""
    return await users.post("/tokens", data={"grant_type": "refresh_token", "refresh_token": refresh_token})


async def logged_in(users: httpx.AsyncClient) -> tuple[dict[str, Any], dict[str, Any]]:
    """A new user and the tokens of a login."""
    user = await registered(users)
    tokens = (await log_in(users, user["email"])).json()
    return user, tokens


def bearer(token: str) -> dict[str, str]:
    """The header that carries an access token."""
    return {"Authorization": f"Bearer {token}"}
