"""Which quotas a gateway has: its settings, or else what suits where it runs.

In production an address is a household or an office. Elsewhere it is a load test's hundreds of shoppers, a benchmark
or a test run, all from one address, which must measure Hopline and not its limits.
"""

from dataclasses import dataclass

from gateway.limits.quota import Quota
from gateway.settings import Settings
from shared.settings import Environment


@dataclass(frozen=True, kw_only=True)
class Rules:
    """All quotas are per minute. The last two are for logins and registrations alone, beside the others."""

    user: Quota
    address: Quota
    credentials_by_address: Quota
    credentials_by_name: Quota


def rules(settings: Settings) -> Rules:
    """The quotas of `settings`."""
    for_people = settings.environment is Environment.PRODUCTION
    return Rules(
        user=Quota(name="user", requests=settings.rate_limit_user or (600 if for_people else 60_000)),
        address=Quota(name="address", requests=settings.rate_limit_address or (3_000 if for_people else 300_000)),
        credentials_by_address=Quota(
            name="credentials-by-address",
            requests=settings.rate_limit_credentials_address or (60 if for_people else 6_000),
        ),
        credentials_by_name=Quota(name="credentials-by-name", requests=settings.rate_limit_credentials_name),
    )
