"""PostgreSQL through SQLAlchemy and asyncpg, Redis, and the object store.

Read `database` first (engine, sessions, transactions), then `session` (one transaction per request). `driver` has the
fast path for a few statements, `statements` and `pool` have the metrics, and `urls` has the forms of a database URL.
"""
