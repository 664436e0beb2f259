"""Validators of telemetry: the Collector's pipelines, alert rules, data sources and dashboards."""

from collections.abc import Sequence

from checks.telemetry import backends, collector, dashboards, rules, trace_links
from checks.validators import Validator

VALIDATORS: Sequence[Validator] = (
    Validator(name="telemetry: collector", check=collector.check),
    Validator(name="telemetry: backends", check=backends.check),
    Validator(name="telemetry: alert rules", check=rules.check),
    Validator(name="telemetry: alert rules by promtool", check=rules.check_with_promtool, needs=[rules.PROMTOOL]),
    Validator(name="telemetry: dashboards", check=dashboards.check),
    Validator(name="telemetry: links between signals", check=trace_links.check),
)
