"""The business decisions: who has an account, and who gets which token."""

from users.service.access import AccessTokens
from users.service.accounts import Accounts, Registration
from users.service.admin import seed_admin
from users.service.housekeeping import chores
from users.service.tokens import Tokens

__all__ = ["AccessTokens", "Accounts", "Registration", "Tokens", "chores", "seed_admin"]
