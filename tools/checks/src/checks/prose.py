"""Retired words and phrases in prose, and the terms that replace them (docs/glossary.md).

Prose is Markdown without code, docstrings and comments of Python, comments and test titles of TypeScript, and comments
of shell scripts, Makefiles, YAML and TOML. Inline code in backticks is not prose. The list contains only words that
always have a better term; `checks.vocabulary` checks identifiers with a longer list.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path

from checks.files import tracked_files
from checks.findings import Finding
from checks.validators import Validator

RETIRED = {
    "unfinished": "pending, or incomplete",
    "abandoned": "stale, or cancelled",
    "patience": "timeout, deadline or retry budget",
    "suffer suffers suffered": "inject, or apply",
    "stranger strangers heed heeds heeded": "untrusted input, ignore or apply",
    "bury buries buried burial": "dead-letter",
    "chore chores tidy tidies tidied housekeeping": "cleanup, or cleanup task",
    "verdict verdicts": "outcome",
    "whoever nobody anybody": "the subject that is meant",
    "tell tells telling told": "return, contain, record or distinguish",
    "says said": "contain, name, describe or explain",
    "hear hears heard": "receive, or accept",
    "forget forgets forgot forgotten": "delete, drop or evict",
    "believe believes believed remember remembers remembered": "hold, store or cache",
    "can_not": "cannot",
}
"""Retired words, with underscores between words of a phrase, and their replacements."""

EXEMPT = {
    "CHANGELOG.md": "describes earlier releases in the words of that time",
    "docs/glossary.md": "lists the retired words",
}
"""Files that are not checked, and why."""

_INSTEAD = {word.replace("_", " "): instead for words, instead in RETIRED.items() for word in words.split()}
_PHRASES = "|".join(_INSTEAD).replace(" ", r"\s+")
_RETIRED = re.compile(rf"(?<![\w-])({_PHRASES})(?![\w-])", re.IGNORECASE)
_CODE = re.compile(r"(?s)```.*?```|``.*?``|`[^`]*`|\]\([^)]*\)|<!--.*?-->")
"""Code and the targets of links in Markdown and docstrings."""
_HASH_COMMENT = re.compile(r"(?m)(?:^|\s)(#.*)$")
_SLASH_COMMENT = re.compile(r"(?s)/\*.*?\*/|(?<![:\w])//[^\n]*")
_TITLE = re.compile(r"""(?:\b(?:describe|it|test)(?:\.\w+)*|\]\))\(\s*(["'`])(.*?)\1""")
_HASH_SUFFIXES = {".sh", ".toml", ".yaml", ".yml"}
_HASH_NAMES = {"Dockerfile", "Makefile"}

Text = tuple[int, str]
"""A piece of prose and the number of its first line."""


def check(root: Path) -> Iterator[Finding]:
    """Report each retired word in prose."""
    for file in tracked_files(root):
        if str(file) in EXEMPT or "assets" in file.parts:
            continue
        for first, text in _prose(root / file):
            for found in _RETIRED.finditer(_CODE.sub(_blank, text)):
                line = first + text.count("\n", 0, found.start())
                phrase = " ".join(found[1].split())
                yield Finding(f"{file}:{line}", f"“{phrase}” is retired", f"use {_INSTEAD[phrase.lower()]}")


def _blank(code: re.Match[str]) -> str:
    """Replace code by a placeholder of the same length, so that positions stay valid."""
    return re.sub(r"[^\n]", "·", code[0])


def _prose(file: Path) -> Iterator[Text]:
    if file.suffix == ".md":
        yield 1, file.read_text(encoding="utf-8")
    elif file.suffix == ".py":
        yield from _python(file.read_text(encoding="utf-8"))
    elif file.suffix in {".ts", ".tsx"}:
        yield from _matches(file.read_text(encoding="utf-8"), (_SLASH_COMMENT, 0), (_TITLE, 2))
    elif file.suffix in _HASH_SUFFIXES or file.name in _HASH_NAMES:
        yield from _matches(file.read_text(encoding="utf-8"), (_HASH_COMMENT, 1))


def _python(code: str) -> Iterator[Text]:
    """Yield the comments and the docstrings, including those of attributes."""
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text), lineno=line)):
                yield line, text


def _matches(text: str, *patterns: tuple[re.Pattern[str], int]) -> Iterator[Text]:
    for pattern, group in patterns:
        for found in pattern.finditer(text):
            yield 1 + text.count("\n", 0, found.start(group)), found[group]


VALIDATORS: Sequence[Validator] = (Validator(name="vocabulary: prose", check=check),)
