"""The pytest plugin, which provides the fixtures."""

from testkit.databases import (
    database,
    database_templates,
    migrated_database,
    postgres_url,
    redis_url,
    valkey_url,
    worker_number,
)
from testkit.metrics import counted
from testkit.queries import queries
from testkit.s3 import s3_bucket, s3_server
from testkit.servers import server_root, start_pgbouncer, start_postgres, start_valkey
from testkit.spans import spans
from testkit.tokens import token_issuer

__all__ = [
    "counted",
    "database",
    "database_templates",
    "migrated_database",
    "postgres_url",
    "queries",
    "redis_url",
    "s3_bucket",
    "s3_server",
    "server_root",
    "spans",
    "start_pgbouncer",
    "start_postgres",
    "start_valkey",
    "token_issuer",
    "valkey_url",
    "worker_number",
]
