"""Spans at a fraction of the SDK's cost (ADR 16): OpenTelemetry's API in front, its batches and its protocol behind.

`tracer` has the provider to install, `span` what it starts, `wire` the bytes that leave, `exporter` the way out.
"""
