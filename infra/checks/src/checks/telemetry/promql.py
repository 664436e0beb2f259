"""PromQL as files write it: variables of Grafana and of templates filled in, then parsed."""

import re

import promql_parser

_DURATIONS = re.compile(r"\$__(rate_interval|interval|range)\b|\$\{__(rate_interval|interval|range)\}")
_MATCHERS = re.compile(r"\$\$?__tags\b|\$\$?\{__tags\}")
_VARIABLES = re.compile(r"\$\$?(\w+|\{[\w.:]+\})")


def mistake(expression: str) -> str | None:
    """Say what is wrong with a query; None where it parses."""
    filled = _MATCHERS.sub('tag="value"', _DURATIONS.sub("5m", expression))
    try:
        promql_parser.parse(_VARIABLES.sub("value", filled))
    except ValueError as error:
        return str(error).strip()
    return None
