"""Rate limits by user and by address, and lower ones for logins and registrations.

The buckets are in Redis, so that all gateways count together. All limits of a request take one round trip. If Redis
fails, each process counts for itself.

`middleware` counts each request and `credentials` each login, by the `limiter`. `rules` has the quotas, `quota` the
algorithm, and `buckets` the state in Redis and in memory.
"""
