"""Rate limits by user and by address, and lower ones for logins, registrations and token refreshes.

The buckets are in Redis, so that all gateways count together. The limits by user and by address take one round trip,
those of a login, a registration or a refresh another one. If Redis fails, each process counts for itself.

`middleware` counts each request, and `credentials` each login, registration and refresh, with the `limiter`. `rules`
has the quotas, `quota` the algorithm, and `buckets` the state in Redis and in memory.
"""
