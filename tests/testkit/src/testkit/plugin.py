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
from testkit.metrics import metric_reader, metrics
from testkit.queries import queries
from testkit.s3 import s3_bucket, s3_server
from testkit.servers import server_root, start_pgbouncer, start_postgres, start_valkey
from testkit.spans import span_exporter, spans, tracer_provider
from testkit.tokens import token_issuer

__all__ = [
    "database",
    "database_templates",
    "metric_reader",
    "metrics",
    "migrated_database",
    "postgres_url",
    "queries",
    "redis_url",
    "s3_bucket",
    "s3_server",
    "server_root",
    "span_exporter",
    "spans",
    "start_pgbouncer",
    "start_postgres",
    "start_valkey",
    "token_issuer",
    "tracer_provider",
    "valkey_url",
    "worker_number",
]
