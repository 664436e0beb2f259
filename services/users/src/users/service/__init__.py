"""Business logic: accounts and tokens."""

from users.service.access_tokens import AccessTokenIssuer
from users.service.accounts import AccountService, Registration
from users.service.admin import seed_admin
from users.service.cleanup import create_cleanup_tasks
from users.service.tokens import TokenService

__all__ = ["AccessTokenIssuer", "AccountService", "Registration", "TokenService", "create_cleanup_tasks", "seed_admin"]
