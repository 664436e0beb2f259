"""Wire shapes."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from shared.addresses import MAX_LENGTH, deliverable_email
from shared.text import has_control_characters, is_visible
from shared.tokens import Role
from users.passwords import normalised_password

MIN_PASSWORD_LENGTH = 8


def displayable(value: str) -> str:
    """Return a text that people are to see; raises ValueError.

    Control characters break log lines, terminals and email headers, and PostgreSQL cannot store NUL. Mail programs
    decode encoded words (RFC 2047) even if they are quoted.
    """
    if has_control_characters(value):
        raise ValueError("must not contain control characters")
    if not is_visible(value):
        raise ValueError("must contain a visible character")
    if "=?" in value:
        raise ValueError("must not contain '=?', which begins an encoded word")
    return value


def long_enough(password: str) -> str:
    """Return a password that is long enough also after normalisation, which composes characters; raises ValueError."""
    if len(normalised_password(password)) < MIN_PASSWORD_LENGTH:
        raise ValueError(f"must have at least {MIN_PASSWORD_LENGTH} characters")
    return password


Email = Annotated[
    str,
    Field(max_length=MAX_LENGTH, examples=["ann@hopline.example"], json_schema_extra={"format": "email"}),
    AfterValidator(deliverable_email),
]
Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    Field(examples=["Ann"]),
    AfterValidator(displayable),
]
Password = Annotated[
    str,
    Field(
        min_length=MIN_PASSWORD_LENGTH,
        max_length=128,
        repr=False,
        examples=["correct horse battery"],
        json_schema_extra={"format": "password", "writeOnly": True},
    ),
    AfterValidator(long_enough),
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
