"""The problems of this service."""

from shared.errors.problems import (
    BadRequestError,
    ConflictError,
    FieldError,
    NotFoundError,
    UnauthorizedError,
    UnavailableError,
)


class EmailTakenError(ConflictError):
    """409: an account has this address."""

    slug = "email-taken"
    title = "This email address is registered already"

    def __init__(self) -> None:
        super().__init__(errors=[FieldError(field="email", message="is registered already")])


class UserNotFoundError(NotFoundError):
    """404: no account has this id."""

    slug = "user-not-found"
    title = "No such user"


class WrongCredentialsError(UnauthorizedError):
    """401: the email address or the password is wrong. The response does not reveal which."""

    slug = "wrong-credentials"
    title = "The email address or the password is wrong"


class InvalidRefreshTokenError(UnauthorizedError):
    """401: the token is unknown, spent, expired or revoked. The response does not reveal which."""

    slug = "refresh-token-refused"
    title = "The refresh token is not valid; log in again"


class WrongClientError(UnauthorizedError):
    """401: the client credentials of an internal token request are wrong (RFC 6749 §2.3.1)."""

    slug = "wrong-client"
    title = "The client's credentials are wrong"

    def __init__(self) -> None:
        super().__init__(challenge='Basic realm="hopline-internal"')


class UnsupportedGrantTypeError(BadRequestError):
    """400: `grant_type` is missing or not supported by this endpoint."""

    slug = "unsupported-grant-type"
    title = "This grant type is not supported"


class IncompleteGrantError(BadRequestError):
    """400: a parameter of the grant type is missing."""

    slug = "incomplete-grant"
    title = "The token request lacks a parameter"

    def __init__(self, *missing: str) -> None:
        super().__init__(errors=[FieldError(field=name, message="is required") for name in missing])


class TooManyLoginsError(UnavailableError):
    """503: too many passwords wait to be hashed, or this one was not hashed in time."""

    slug = "too-many-logins"
    title = "Too many people are logging in at once"
