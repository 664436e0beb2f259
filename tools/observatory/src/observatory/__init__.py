"""Replaces the telemetry backends and the mailbox during development.

One process serves the read APIs of Jaeger, Loki, Mailpit and Prometheus on their usual ports, in part, and receives
OTLP/HTTP and SMTP. All data is in memory, within limits, and is lost when the process ends. It is not for production.
"""
