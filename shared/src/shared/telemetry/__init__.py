"""OpenTelemetry: set-up, spans, propagation of trace context, gauges, and the delay of the event loop."""
