"""Structured logs: set-up, export and redaction."""
