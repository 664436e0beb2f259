"""The verified caller of a request."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Role(StrEnum):
    """Role of a caller; `service` is another Hopline process."""

    CUSTOMER = "customer"
    ADMIN = "admin"
    SERVICE = "service"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The caller of a request, from a verified access token (`shared.auth.tokens`)."""

    user_id: UUID
    role: Role
