"""The quotas of the gateway: its settings, or defaults by environment.

In production, the users of one address are those of a household or an office. Elsewhere, load tests, benchmarks and
tests send the requests of hundreds of users from one address, and the limits must not affect their results.
"""

from dataclasses import dataclass

from gateway.limits.quota import Quota
from gateway.settings import Settings
from shared.config import Environment


@dataclass(frozen=True, kw_only=True)
class RateLimitRules:
    """The quotas, per minute. `user` and `address` apply to all requests.

    The others apply in addition: `credentials_by_address` to logins, registrations and token refreshes,
    `credentials_by_name` to logins and registrations, `telemetry_by_address` to telemetry of pages.
    """

    user: Quota
    address: Quota
    credentials_by_address: Quota
    credentials_by_name: Quota
    telemetry_by_address: Quota


def create_rules(settings: Settings) -> RateLimitRules:
    """Return the quotas of `settings`."""
    in_production = settings.environment is Environment.PRODUCTION
    return RateLimitRules(
        user=Quota(name="user", requests=settings.rate_limit_user or (600 if in_production else 60_000)),
        address=Quota(name="address", requests=settings.rate_limit_address or (3_000 if in_production else 300_000)),
        credentials_by_address=Quota(
            name="credentials-by-address",
            requests=settings.rate_limit_credentials_address or (60 if in_production else 6_000),
        ),
        credentials_by_name=Quota(name="credentials-by-name", requests=settings.rate_limit_credentials_name),
        telemetry_by_address=Quota(name="telemetry-by-address", requests=settings.rate_limit_telemetry_address),
    )
