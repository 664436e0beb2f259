"""Retired words in the identifiers of Python code, and the terms that replace them (docs/glossary.md).

Only names that a file defines are checked: classes, functions, parameters, variables, attributes, import aliases, log
events and each part of the file's path. Other string literals are not checked, because wire formats and the names of
tables, metrics and span attributes are a public contract.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from checks.files import tracked_files
from checks.findings import Finding
from checks.validators import Validator

RETIRED = {
    "patience": "timeout, deadline or retry budget",
    "suffer suffers suffered strike struck towards": "inject, apply or match",
    "stranger strangers heed heeded": "untrusted input, or trusted proxies",
    "bury buried burial burials last_words": "dead-letter, or on_dead_letter",
    "letter letters": "email content, or dead letter",
    "lane lanes pump pumps": "outbound queue, or delivery cursor",
    "seal seals sealed sealing": "assign sequence",
    "floor floors": "low-water mark",
    "unfinished": "pending",
    "abandoned": "stale",
    "chore chores tidy tidied tidying housekeeping housekeeper": "cleanup, or cleanup task",
    "forget forgets forgotten forgetting": "delete, retention or evict",
    "verdict verdicts": "outcome",
    "era eras": "generation",
    "composition compositions composed": "aggregate",
    "hole holes": "unavailable",
    "ledger ledgers timetable timetables overview overviews": "repository, or queries",
    "reaction reactions": "event handlers",
    "blame blamed tell tells told telling": "record, report or return",
    "hear heard hears": "accept, or receive",
    "answer answers answered answering reply replies replied": "response",
    "refuse refuses refused refusal refusals": "error response, reject or rejected",
    "holdings census": "snapshot, or snapshot reader",
    "crowd crowds weather": "workload, or random source",
    "pretend pretended desk world things": "fakes, factories or clients",
    "nobody anybody whoever": "the subject that is meant",
    "spoil spoils spoiled mend mends mended": "break, corrupt, fix or heal",
    "at_once": "max_concurrent_…",
    "kept_days kept_hours": "…_retention_days",
    "given_up": "…_timeout",
    "settle settles settled": "complete, apply, resolve or finish",
}
"""Retired words, separated by spaces (a phrase has underscores), and the term that replaces them."""

_REPLACEMENTS = {word: instead for words, instead in RETIRED.items() for word in words.split()}
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_RETIRED_PATTERN = re.compile(
    rf"(?<![a-z])(?<!dead_)({'|'.join(sorted(_REPLACEMENTS, key=len, reverse=True))})(?![a-z])"
)
"""Matches a retired word as a whole part of a snake_case name. `dead_letter` is accepted: it is a term of messaging."""


def check(root: Path) -> Iterator[Finding]:
    """Report each identifier and each log event of a file that contains a retired word, once."""
    for file in tracked_files(root):
        if file.suffix != ".py" or "migrations" in file.parts:
            continue
        seen = dict.fromkeys(file.with_suffix("").parts, 1)
        for name, line in _defined(ast.parse((root / file).read_text(encoding="utf-8"))):
            seen.setdefault(name, line)
        for name, line in seen.items():
            if found := _RETIRED_PATTERN.search(_words(name)):
                yield Finding(
                    f"{file}:{line}", f"“{found[1]}” in “{name}” is retired", f"use {_REPLACEMENTS[found[1]]}"
                )


def _words(name: str) -> str:
    return _CAMEL.sub("_", name).lower()


def _defined(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name, node.lineno
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name, node.lineno
            case ast.alias(asname=str(name)):
                yield name, node.lineno
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name, node.lineno
            case ast.Call(func=ast.Attribute(value=ast.Name(id="log")), args=[ast.Constant(value=str(event)), *_]):
                yield event, node.lineno


VALIDATORS: Sequence[Validator] = (Validator(name="vocabulary: identifiers", check=check),)
