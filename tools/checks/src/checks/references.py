"""Checks references in Markdown pages: the files, modules, tests, commands and names in inline code must exist.

A path may be relative to the repository or to the page, or it may be the end of a path, such as `orders/settings.py`. A
name with an underscore or inner capital letters must occur in a file of the repository that is not a page. CHANGELOG.md
and superseded ADRs are not checked, because they describe earlier versions. Names in other ADRs are not checked either,
because they describe alternatives.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path, PurePosixPath

from checks.files import GIT, tracked_files
from checks.findings import Finding
from checks.validators import Validator

_FENCE = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_MAKE = re.compile(r"\bmake ([a-z][a-z-]*)\b(?!=)")
_MODULE = re.compile(r"\bpython -m ([a-z_]+(?:\.[a-z_]+)*)")
_PATH = re.compile(r"(?:\./)?\.?[\w{},*-]+(?:[./][\w{},*.-]+)*/?(?:::\w+)*")
_SUFFIXES = {
    ".cfg",
    ".env",
    ".html",
    ".in",
    ".js",
    ".json",
    ".md",
    ".pem",
    ".py",
    ".sh",
    ".toml",
    ".ts",
    ".yaml",
    ".yml",
}
_NAME = re.compile(r"(?<![\w.$…-])[A-Za-z_][A-Za-z0-9]*(?:_[A-Za-z0-9]+|[a-z][A-Z][A-Za-z0-9]*)+_?(?![\w-])")
_BRACES = re.compile(r"\{([^{}]*)\}")
_TEST = re.compile(r"(test_\w+)((?:\.(?!py\b)\w+)+)")
_SUPERSEDED = "*Superseded by"
_DECISIONS = PurePosixPath("docs/adr")
_GENERATED = ("build/", "registry.example/")
_FOREIGN = frozenset(
    [
        "action.yml",
        "HttpOnly",
        "HTTP_PROXY",
        "OTEL_EXPORTER_OTLP_CERTIFICATE",
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
        "OTEL_EXPORTER_OTLP_CLIENT_KEY",
        "OTEL_PYTHON_EXPORTER_OTLP_",
        "_CREDENTIAL_PROVIDER",
        "pg_dump",
        "preload_app",
        "xact_start",
    ]
)
"""Names of other programs, which no file of this repository contains."""
_BINARY = {".png", ".ico", ".woff2"}


class Repository:
    """The tracked files of a repository, and the names that occur in them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = [PurePosixPath(file.as_posix()) for file in tracked_files(root)]
        pages = (file for file in self.files if file.suffix == ".md" and file.name != "CHANGELOG.md")
        self.pages = [page for page in pages if _SUPERSEDED not in self.text(page)]

    @cached_property
    def paths(self) -> set[str]:
        """All files and folders."""
        return {str(path) for file in self.files for path in (file, *file.parents)} - {"."}

    @cached_property
    def words(self) -> set[str]:
        """All words of the files that are not pages, and the names of files. Prometheus writes `a.b` as `a_b`."""
        texts = [self.text(file) for file in self.files if file.suffix not in {".md", *_BINARY}]
        words = {word for text in texts for word in re.findall(r"\w+", text)}
        dotted = {name.replace(".", "_") for text in texts for name in re.findall(r"[a-z_]+(?:\.[a-z_]+)+", text)}
        return words | dotted | {file.stem for file in self.files}

    @cached_property
    def targets(self) -> set[str]:
        """The targets of the Makefile."""
        return set(re.findall(r"^([a-z][a-z-]*):", self.text(PurePosixPath("Makefile")), re.MULTILINE))

    @cached_property
    def modules(self) -> Mapping[str, PurePosixPath]:
        """The importable modules and packages of the repository, by their dotted names."""
        found: dict[str, PurePosixPath] = {}
        for file in self.files:
            if file.suffix == ".py" and "tests" not in file.parts[1:]:
                parts = file.with_suffix("").parts
                start = parts.index("src") + 1 if "src" in parts else 1
                names = parts[start:-1] if parts[-1] == "__init__" else parts[start:]
                found[".".join(names)] = file
        return found

    def text(self, file: PurePosixPath) -> str:
        """Return the content of a file, empty if it does not exist."""
        path = self.root / file
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""

    def resolve(self, reference: str, page: PurePosixPath) -> list[str]:
        """Return the paths that `reference` on `page` names."""
        pattern = reference.removeprefix("./").rstrip("/")
        beside = str(page.parent / pattern)
        return [path for path in self.paths if _matches(path, pattern) or fnmatchcase(path, beside)]


def check(root: Path) -> Iterator[Finding]:
    """Report references to files, modules, tests, commands and names that do not exist."""
    repository = Repository(root)
    for page in repository.pages:
        text = repository.text(page)
        for line, problem in sorted({*_command_problems(repository, text), *_code_problems(repository, page, text)}):
            yield Finding(f"{page}:{line}", problem, "correct the page")


def _command_problems(repository: Repository, text: str) -> Iterator[tuple[int, str]]:
    """Yield line and problem of each command in inline code and in code blocks."""
    for span in (*_FENCE.finditer(text), *_CODE.finditer(text)):
        for found in _MAKE.finditer(span[0]):
            if found[1] not in repository.targets:
                yield _line(text, span.start() + found.start()), f"make has no target {found[1]}"
        for found in _MODULE.finditer(span[0]):
            top = found[1].partition(".")[0]
            if top in repository.modules and found[1] not in repository.modules:
                yield _line(text, span.start() + found.start()), f"there is no module {found[1]}"


def _code_problems(repository: Repository, page: PurePosixPath, text: str) -> Iterator[tuple[int, str]]:
    """Yield line and problem of each path and name in inline code."""
    blanked = _FENCE.sub(lambda fence: re.sub(r"[^\n]", " ", fence[0]), text)
    for code in _CODE.finditer(blanked):
        line = _line(text, code.start())
        for reference in _expanded(code[1].strip()):
            yield from ((line, problem) for problem in _problems(repository, page, reference))


def _problems(repository: Repository, page: PurePosixPath, code: str) -> Iterator[str]:
    if test := _TEST.fullmatch(code):
        code = f"{test[1]}.py{test[2].replace('.', '::')}"
    if code in _FOREIGN or code.startswith(_GENERATED):
        return
    if _is_path(code):
        yield from _path_problems(repository, page, code)
    elif re.fullmatch(r"[a-z_]+(\.\w+)+(\(.*\))?", code) and code.partition(".")[0] in repository.modules:
        if not _exists(repository, dotted := code.partition("(")[0]):
            yield f"there is no {dotted}"
    else:
        names = _NAME.findall(code)
        checked = [name for name in names if page.parent != _DECISIONS or name.startswith("test_")]
        unknown = (name for name in checked if name not in _FOREIGN and not _is_known(repository, name))
        yield from (f"no file contains the name {name}" for name in unknown)


def _path_problems(repository: Repository, page: PurePosixPath, code: str) -> Iterator[str]:
    """Yield the problems of a path, which may be followed by `::` and names of classes and functions in the file."""
    path, *names = code.split("::")
    files = repository.resolve(path, page)
    if not files:
        yield f"there is no file {path}"
    texts = [repository.text(PurePosixPath(file)) for file in files]
    for name in names:
        if not any(re.search(rf"\b(?:class|def) {name}\b", text) for text in texts):
            yield f"{path} has no {name}"


def _is_known(repository: Repository, name: str) -> bool:
    """Return whether a name occurs, or for a name that ends in an underscore, whether a longer one does."""
    if name.endswith("_"):
        return any(word.startswith(name) for word in repository.words)
    return name in repository.words


def _exists(repository: Repository, dotted: str) -> bool:
    """Return whether a dotted name is a module, or a name that a module contains."""
    module = dotted
    names: list[str] = []
    while module and module not in repository.modules:
        module, _, name = module.rpartition(".")
        names.append(name)
    return bool(module) and all(
        re.search(rf"\b{name}\b", repository.text(repository.modules[module])) for name in names
    )


def _is_path(code: str) -> bool:
    if not _PATH.fullmatch(code):
        return False
    path = code.partition("::")[0]
    return PurePosixPath(path).suffix in _SUFFIXES or "::" in code or (path.endswith("/") and path.count("/") > 1)


def _matches(path: str, pattern: str) -> bool:
    return fnmatchcase(path, pattern) or fnmatchcase(path, f"*/{pattern}")


def _expanded(code: str) -> list[str]:
    """Return the alternatives of `{a,b}` in a path."""
    found = _BRACES.search(code)
    if not found or "," not in found[1] or " " in code:
        return [code]
    return [
        reference
        for part in found[1].split(",")
        for reference in _expanded(f"{code[: found.start()]}{part}{code[found.end() :]}")
    ]


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


VALIDATORS: Sequence[Validator] = (Validator(name="files: references in pages", check=check, needs=[GIT]),)
