"""Wire shapes of accounts and tokens."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from shared.auth import Role
from shared.validation.email_addresses import MAX_LENGTH, validate_deliverable_email
from shared.validation.text import has_control_characters, is_visible
from users.passwords import normalise_password

MIN_PASSWORD_LENGTH = 8


def validate_displayable(value: str) -> str:
    """Return the text if it can be displayed and sent safely, else raise ValueError.

    Control characters break log records, terminals and email headers, and PostgreSQL cannot store NUL. Mail programs
    decode encoded words (RFC 2047) even if they are quoted.
    """
    if has_control_characters(value):
        raise ValueError("must not contain control characters")
    if not is_visible(value):
        raise ValueError("must contain a visible character")
    if "=?" in value:
        raise ValueError("must not contain '=?', which begins an encoded word")
    return value


def validate_password_length(password: str) -> str:
    """Return the password if it is long enough in normalised form, with composed characters, else raise ValueError."""
    if len(normalise_password(password)) < MIN_PASSWORD_LENGTH:
        raise ValueError(f"must have at least {MIN_PASSWORD_LENGTH} characters")
    return password


Email = Annotated[
    str,
    Field(max_length=MAX_LENGTH, examples=["ann@hopline.example"], json_schema_extra={"format": "email"}),
    AfterValidator(validate_deliverable_email),
]
Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    Field(examples=["Ann"]),
    AfterValidator(validate_displayable),
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
    AfterValidator(validate_password_length),
]
"""The minimum length is that of NIST SP 800-63B. The maximum length bounds the work of a hash."""


class UserCreate(BaseModel):
    """An account to create. Unknown members such as `role` are rejected."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    password: Password
    name: Name


class UserUpdate(BaseModel):
    """The members of an account that its user may change."""

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
    """A token request of RFC 6749: `username` and `password`, or `refresh_token`, by the grant type."""

    grant_type: str = Field("", json_schema_extra={"enum": ["password", "refresh_token"]})
    username: str = Field("", examples=["ann@hopline.example"])
    password: SecretStr = Field(SecretStr(""), examples=["correct horse battery"])
    refresh_token: SecretStr = SecretStr("")


class RevocationRequest(BaseModel):
    """A refresh token to revoke (RFC 7009 §2.1)."""

    token: SecretStr


class ClientTokenRequest(TokenRequest):
    """A token request of a client (RFC 6749 §4.4). Its credentials are in the Authorization header."""

    grant_type: str = Field("", examples=["client_credentials"])


class AccessToken(BaseModel):
    """An access token."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    access_token: str
    token_type: str = Field("Bearer", examples=["Bearer"])
    expires_in: int = Field(description="Seconds")


class TokenPair(AccessToken):
    """The tokens of a user. The refresh token can be used once. Using it again revokes all tokens of the login."""

    refresh_token: str
