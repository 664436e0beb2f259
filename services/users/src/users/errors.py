"""Everything that can go wrong here."""

from shared.errors import BadRequest, Conflict, FieldError, NotFound, Unauthorized, Unavailable


class EmailTaken(Conflict):
    """409: somebody has registered with this address."""

    slug = "email-taken"
    title = "This email address is registered already"

    def __init__(self) -> None:
        super().__init__(errors=[FieldError(field="email", message="is registered already")])


class UserNotFound(NotFound):
    """404: no account has this id."""

    slug = "user-not-found"
    title = "No such user"


class WrongCredentials(Unauthorized):
    """401: the email address or the password is wrong; the answer does not say which."""

    slug = "wrong-credentials"
    title = "The email address or the password is wrong"


class RefreshTokenRefused(Unauthorized):
    """401: unknown, spent, expired or revoked; the answer does not say which, the log does."""

    slug = "refresh-token-refused"
    title = "The refresh token is not valid; log in again"


class WrongClient(Unauthorized):
    """401: the client of an internal token request is not who it says (RFC 6749 §2.3.1)."""

    slug = "wrong-client"
    title = "The client's credentials are wrong"

    def __init__(self) -> None:
        super().__init__(challenge='Basic realm="hopline-internal"')


class UnsupportedGrant(BadRequest):
    """400: no `grant_type`, or one that this endpoint does not serve."""

    slug = "unsupported-grant-type"
    title = "This grant type is not supported"


class IncompleteGrant(BadRequest):
    """400: the grant type is served, and a parameter of it is missing."""

    slug = "incomplete-grant"
    title = "The token request lacks a parameter"

    def __init__(self, *missing: str) -> None:
        super().__init__(errors=[FieldError(field=name, message="is required") for name in missing])


class TooManyLogins(Unavailable):
    """503: as many passwords wait to be hashed as may, or this one was not hashed in time."""

    slug = "too-many-logins"
    title = "Too many people are logging in at once"
