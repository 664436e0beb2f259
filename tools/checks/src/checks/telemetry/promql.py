"""Parses PromQL of files, after replacing variables of Grafana and of templates."""

import re

import promql_parser

_DURATIONS = re.compile(r"\$__(rate_interval|interval|range)\b|\$\{__(rate_interval|interval|range)\}")
_MATCHERS = re.compile(r"\$\$?__tags\b|\$\$?\{__tags\}")
_VARIABLES = re.compile(r"\$\$?(\w+|\{[\w.:]+\})")


def mistake(expression: str) -> str | None:
    """Return the error of a query, None if it parses.

    A query with `$__tags` is parsed with and without tags, because a span may have none of the mapped tags.
    """
    filled = _VARIABLES.sub("value", _MATCHERS.sub("TAGS", _DURATIONS.sub("5m", expression)))
    for tags, when in (('tag="value"', ""), ("", " for a span without tags")):
        try:
            promql_parser.parse(filled.replace("TAGS", tags))
        except ValueError as error:
            return f"{str(error).strip()}{when}"
    return None
