"""HTTP errors as problem+json, and the errors of PostgreSQL and Redis that mean they are unavailable."""
