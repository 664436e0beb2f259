"""Wire shapes."""

import unicodedata
from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from shared.addresses import normalised_email
from shared.tokens import Role


def without_control_characters(value: str) -> str:
    """Refuse what would break a log line, a mail header or a terminal, and the NUL that Postgres cannot store."""
    if any(unicodedata.category(character) == "Cc" for character in value):
        raise ValueError("must not contain control characters")
    return value


Email = Annotated[
    str,
    Field(max_length=254, examples=["ann@hopline.example"], json_schema_extra={"format": "email"}),
    AfterValidator(normalised_email),
]
Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(without_control_characters),
]
Password = Annotated[
    str, Field(min_length=8, max_length=128, repr=False, json_schema_extra={"format": "password", "writeOnly": True})
]
"""The lower bound is NIST SP 800-63B's, without rules about characters; the upper one bounds what is hashed."""


class Registration(BaseModel):
    """The body of `POST /users`. Unknown members are refused: nobody should believe to have set a role."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    password: Password
    name: Name


class Profile(BaseModel):
    """The body of `PATCH /users/me`: what users may change of themselves."""

    model_config = ConfigDict(extra="forbid")

    name: Name


class User(BaseModel):
    """An account as others see it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    email: str
    name: str
    role: Role
    created_at: datetime


class TokenForm(BaseModel):
    """The form of `POST /tokens` (RFC 6749 §4.3, §6); which parameters are needed depends on the grant."""

    grant_type: str = ""
    username: str = ""
    password: SecretStr = SecretStr("")
    refresh_token: SecretStr = SecretStr("")


class AccessToken(BaseModel):
    """An access token; `expires_in` in seconds."""

    access_token: str
    token_type: str = "Bearer"  # noqa: S105 - a scheme's name
    expires_in: int


class TokenPair(AccessToken):
    """What a user gets: the refresh token buys one more pair, once."""

    refresh_token: str
