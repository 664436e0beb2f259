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
    Field(examples=["Ann"]),
    AfterValidator(without_control_characters),
]
Password = Annotated[
    str,
    Field(
        min_length=8,
        max_length=128,
        repr=False,
        examples=["correct horse battery"],
        json_schema_extra={"format": "password", "writeOnly": True},
    ),
]
"""The lower bound is NIST SP 800-63B's, without rules about characters; the upper one bounds what is hashed."""


class NewUser(BaseModel):
    """An account to create. Unknown members are rejected, so that nobody believes to have set a role."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    password: Password
    name: Name


class UserChange(BaseModel):
    """The part of an account that its user may change."""

    model_config = ConfigDict(extra="forbid")

    name: Name


class User(BaseModel):
    """An account."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    email: str
    name: str
    role: Role
    created_at: datetime


class TokenRequest(BaseModel):
    """RFC 6749: `username` and `password` for the grant `password`, `refresh_token` for the grant of that name."""

    grant_type: str = Field("", json_schema_extra={"enum": ["password", "refresh_token"]})
    username: str = Field("", examples=["ann@hopline.example"])
    password: SecretStr = Field(SecretStr(""), examples=["correct horse battery"])
    refresh_token: SecretStr = SecretStr("")


class ClientTokenRequest(TokenRequest):
    """RFC 6749 §4.4: the credentials of a process are in the Authorization header."""

    grant_type: str = Field("", examples=["client_credentials"])


class AccessToken(BaseModel):
    """An access token."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    access_token: str
    token_type: str = Field("Bearer", examples=["Bearer"])
    expires_in: int = Field(description="Seconds")


class TokenPair(AccessToken):
    """The tokens of a user. The refresh token buys one more pair, once; used twice, it revokes its whole family."""

    refresh_token: str
