"""HTTP errors as problem+json, and the errors that mean that PostgreSQL or Redis is unavailable."""
