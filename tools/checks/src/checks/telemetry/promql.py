"""Parses PromQL of files, after replacing variables of Grafana and of templates."""

import re

import promql_parser

_DURATIONS = re.compile(r"\$__(rate_interval|interval|range)\b|\$\{__(rate_interval|interval|range)\}")
_MATCHERS = re.compile(r"\$\$?__tags\b|\$\$?\{__tags\}")
_VARIABLES = re.compile(r"\$\$?(\w+|\{[\w.:]+\})")


def parse_error(expression: str) -> str | None:
    """Return the syntax error of a query, or None if the query is valid.

    A query with `$__tags` is parsed with and without tags, because a span may have none of the mapped tags.
    """
    filled = _VARIABLES.sub("value", _MATCHERS.sub("TAGS", _DURATIONS.sub("5m", expression)))
    for tags, when in (('tag="value"', ""), ("", " for a span without tags")):
        try:
            promql_parser.parse(filled.replace("TAGS", tags))
        except ValueError as error:
            return f"{str(error).strip()}{when}"
    return None
