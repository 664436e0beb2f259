"""A search for private and undocumented names of third-party packages in the syntax trees of Hopline's source."""

import ast
import inspect
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

FOLDERS = ("packages", "shared", "services", "workers", "infra", "tools")

ALLOWED = {
    # OpenTelemetry documents these modules. Their names begin with an underscore until the logs API is stable.
    "opentelemetry._logs",
    "opentelemetry.sdk._logs",
    "opentelemetry.exporter.otlp.proto.grpc._log_exporter",
    "opentelemetry.exporter.otlp.proto.http._log_exporter",
    "os._exit",  # documented by Python
}
DOCUMENTED_ATTRIBUTES = {"_asdict", "_fields", "_make", "_replace"}
"""Public members of named tuples. They begin with an underscore so that fields cannot have the same name."""

UNDOCUMENTED = {
    "Dependant": "FastAPI's model of a dependency is not documented; use Depends and dependency_overrides",
    "effective_route_context": "FastAPI's entry in the scope is not documented; use scope['route']",
    "ProxyTracer": "not in opentelemetry.trace.__all__; use shared.telemetry.spans.get_tracer",
    "ProxyTracerProvider": "not in opentelemetry.trace.__all__; use shared.telemetry.spans.get_tracer_provider",
    "structlog_": "structlog's prefix of context variables is not documented; use structlog.contextvars",
}
"""Undocumented names that do not begin with an underscore, with advice. They are found as names and as strings.

A name that ends with an underscore is a prefix.
"""

FUNCTIONS_OF_NAMES = {"getattr", "setattr", "hasattr", "delattr", "attrgetter", "methodcaller", "import_module"}
"""Functions with the name of an attribute or of a module as an argument."""


@dataclass(frozen=True, order=True)
class Finding:
    """A name that must not be used, with its place and with advice."""

    file: str
    line: int
    name: str
    advice: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.name}: {self.advice}"


@dataclass(kw_only=True)
class Module:
    """One file: its imports (local name → full name), its classes, and all names that it defines."""

    file: str
    name: str
    tree: ast.Module
    imports: dict[str, str] = field(default_factory=dict)
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    defined: set[str] = field(default_factory=set)

    def full_name(self, expression: ast.expr) -> str | None:
        """Return the name that an expression refers to, with its module; None if that is unknown."""
        match expression:
            case ast.Subscript(value=value):
                return self.full_name(value)
            case ast.Attribute(value=value, attr=attribute):
                owner = self.full_name(value)
                return f"{owner}.{attribute}" if owner else None
            case ast.Name(id=name):
                return f"{self.name}.{name}" if name in self.classes else self.imports.get(name)
            case _:
                return None


class Project:
    """All modules below `root`, by their names."""

    def __init__(self, root: Path) -> None:
        self.modules: dict[str, Module] = {}
        for folder in FOLDERS:
            for file in sorted((root / folder).rglob("*.py")):
                inside = file.relative_to(root)
                if not {"tests", "node_modules"} & set(inside.parts):
                    module = _read(file, str(inside))
                    self.modules[module.name] = module
        self.own = {name.partition(".")[0] for name in self.modules}

    def is_own(self, name: str) -> bool:
        """Return whether a full name belongs to Hopline."""
        return name.partition(".")[0] in self.own

    def find_class(self, name: str) -> tuple[Module, ast.ClassDef] | None:
        """Return the class of Hopline with this full name, also if it is the name of an import of the class."""
        module_name, _, class_name = name.rpartition(".")
        module = self.modules.get(module_name)
        if module is None:
            return None
        if class_name in module.classes:
            return module, module.classes[class_name]
        imported = module.imports.get(class_name)
        return self.find_class(imported) if imported and imported != name else None

    def resolve_bases(self, module: Module, cls: ast.ClassDef) -> tuple[set[str], list[str]]:
        """Return two results: the members that Hopline defines in a class and its bases, and its foreign bases.

        The foreign bases are the full names of the nearest bases from other packages.
        """
        members, foreign = set(members_of(cls)), list[str]()
        for base in cls.bases:
            name = module.full_name(base)
            if name and (found := self.find_class(name)):
                base_members, base_foreign = self.resolve_bases(*found)
                members |= base_members
                foreign += base_foreign
            elif name:
                foreign.append(name)
        return members, foreign

    def find_names(self) -> list[Finding]:
        """Return the findings of all modules, sorted by file and line."""
        return sorted({finding for module in self.modules.values() for finding in _Search(self, module).run()})


def _read(file: Path, inside: str) -> Module:
    """Read a file, which has the path `inside` in the repository.

    The name of its module begins after the folder `src`, or at the root of the repository.
    """
    parts = list(file.with_suffix("").parts)
    parts = (
        parts[len(parts) - parts[::-1].index("src") :] if "src" in parts else list(Path(inside).with_suffix("").parts)
    )
    if parts[-1] == "__init__":
        parts.pop()
    module = Module(file=inside, name=".".join(parts), tree=ast.parse(file.read_text(encoding="utf-8")))
    for node in ast.walk(module.tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    module.imports[alias.asname or alias.name.partition(".")[0]] = (
                        alias.name if alias.asname else alias.name.partition(".")[0]
                    )
            case ast.ImportFrom(module=source, names=names, level=0) if source:
                module.imports |= {alias.asname or alias.name: f"{source}.{alias.name}" for alias in names}
            case ast.ClassDef():
                module.classes[node.name] = node
                module.defined |= members_of(node) | {node.name}
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                module.defined.add(node.name)
            case ast.Name(id=name, ctx=ast.Store()):
                module.defined.add(name)
    return module


@cache
def members_of(cls: ast.ClassDef) -> frozenset[str]:
    """Return the members that the class itself defines, including attributes that its methods set."""
    members: set[str] = set()
    for node in cls.body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                members.add(node.name)
            case ast.Assign(targets=targets):
                members |= {target.id for target in targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                members.add(name)
    for inner in ast.walk(cls):
        match inner:
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()):
                members.add(name)
    return frozenset(members)


def is_private(name: str) -> bool:
    """Return whether a name begins with an underscore, except `_` and names such as `__init__`."""
    return name.startswith("_") and name != "_" and not (name.startswith("__") and name.endswith("__"))


@cache
def private_names_of(base: str) -> frozenset[str]:
    """Return the private members of an installed class and its bases, including attributes that its methods set."""
    module_name, _, attributes = base.rpartition(".")
    while True:
        try:
            found: Any = import_module(module_name)
            break
        except ModuleNotFoundError:
            module_name, _, outer = module_name.rpartition(".")
            attributes = f"{outer}.{attributes}"
            if not module_name:
                raise
    for attribute in attributes.split("."):
        found = getattr(found, attribute)
    names: set[str] = set()
    for cls in inspect.getmro(found) if inspect.isclass(found) else ():
        names |= vars(cls).keys() | _members_in_source(cls)
    return frozenset(filter(is_private, names))


def _members_in_source(cls: type) -> frozenset[str]:
    try:
        file = inspect.getsourcefile(cls)
    except TypeError:  # a built-in class has no source file
        file = None
    return _classes_in(file).get(cls.__name__, frozenset()) if file else frozenset()


@cache
def _classes_in(file: str) -> dict[str, frozenset[str]]:
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    return {node.name: members_of(node) for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


class _Search(ast.NodeVisitor):
    """The search in one module."""

    def __init__(self, project: Project, module: Module) -> None:
        self._project, self._module = project, module
        self._classes: list[ast.ClassDef] = []
        self._findings: list[Finding] = []

    def run(self) -> list[Finding]:
        self.visit(self._module.tree)
        return self._findings

    def _report(self, node: ast.expr | ast.stmt, name: str, advice: str) -> None:
        self._findings.append(Finding(self._module.file, node.lineno, name, advice))

    def _check_path(self, node: ast.stmt, path: str) -> None:
        parts = path.split(".")
        for end, part in enumerate(parts, 1):
            if is_private(part) and ".".join(parts[:end]) not in ALLOWED and not self._project.is_own(path):
                self._report(node, path, "private import; use a documented name of the package")
                return

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._check_path(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if node.level == 0 and node.module:
                self._check_path(node, f"{node.module}.{alias.name}")
            self._check_undocumented(node, alias.name)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        members = {name for name in members_of(node) if is_private(name)}
        _, foreign = self._project.resolve_bases(self._module, node)
        for base in foreign if members else ():
            for name in sorted(members & private_names_of(base)):
                self._report(node, f"{node.name}.{name}", f"overrides a private name of {base}; choose another name")
        self._classes.append(node)
        self.generic_visit(node)
        self._classes.pop()

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._check_undocumented(node, node.attr)
        if is_private(node.attr) and not self._is_allowed(node):
            self._report(node, ast.unparse(node), "private attribute; use a documented name of the package")
        self.generic_visit(node)

    def _is_allowed(self, node: ast.Attribute) -> bool:
        """Return whether a private attribute is documented, or defined by Hopline."""
        match node.value:
            case ast.Name(id="self" | "cls") if self._classes:
                return any(node.attr in self._project.resolve_bases(self._module, cls)[0] for cls in self._classes)
            case ast.Call(func=ast.Name(id="super")) if self._classes:
                members, _ = self._project.resolve_bases(self._module, self._classes[-1])
                return node.attr in members - members_of(self._classes[-1])
        full = self._module.full_name(node)
        if full in ALLOWED or (full and self._project.is_own(full)):
            return True
        return node.attr in DOCUMENTED_ATTRIBUTES or node.attr in self._module.defined

    def visit_Name(self, node: ast.Name) -> None:
        self._check_undocumented(node, node.id)

    def visit_Call(self, node: ast.Call) -> None:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for argument in node.args if called in FUNCTIONS_OF_NAMES else ():
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                self._check_string(node, argument.value, f"{called}({argument.value!r})")
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        is_namespace = ast.unparse(node.value).endswith(".__dict__") or ast.unparse(node.value).startswith("vars(")
        if is_namespace and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
            self._check_string(node, node.slice.value, ast.unparse(node))
        self.generic_visit(node)

    def _check_string(self, node: ast.expr, value: str, name: str) -> None:
        ours = value in self._module.defined or self._project.is_own(value)
        if not ours and value not in ALLOWED and any(is_private(part) for part in value.split(".")):
            self._report(node, name, "private name in a string; use a documented name of the package")

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and " " not in node.value:
            self._check_undocumented(node, node.value)

    def _check_undocumented(self, node: ast.expr | ast.stmt, name: str) -> None:
        for undocumented, advice in UNDOCUMENTED.items():
            if name == undocumented or (undocumented.endswith("_") and name.startswith(undocumented)):
                self._report(node, name, advice)
