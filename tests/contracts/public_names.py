"""Finds private and undocumented names of third-party packages in Hopline's source, by its syntax trees."""

import ast
import inspect
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

FOLDERS = ("packages", "shared", "services", "workers", "infra", "tools")

ALLOWED = {
    # OpenTelemetry documents these modules of its logs API, which is not declared stable yet.
    "opentelemetry._logs",
    "opentelemetry.sdk._logs",
    "opentelemetry.exporter.otlp.proto.grpc._log_exporter",
    "opentelemetry.exporter.otlp.proto.http._log_exporter",
    "os._exit",  # documented by Python
}
DOCUMENTED_ATTRIBUTES = {"_asdict", "_fields", "_make", "_replace"}
"""Public methods of named tuples. They begin with an underscore so that fields cannot have the same name."""

UNDOCUMENTED = {
    "Dependant": "FastAPI's model of a dependency is not documented; use Depends and dependency_overrides",
    "effective_route_context": "FastAPI's entry in the scope is not documented; use scope['route']",
    "ProxyTracer": "not in opentelemetry.trace.__all__; use shared.telemetry.spans.get_tracer",
    "ProxyTracerProvider": "not in opentelemetry.trace.__all__; use shared.telemetry.spans.get_tracer_provider",
    "structlog_": "structlog's prefix of context variables is not documented; use structlog.contextvars",
}
"""Private names without an underscore, which are found as names and as strings, and the replacements."""

BY_STRING = {"getattr", "setattr", "hasattr", "delattr", "attrgetter", "methodcaller", "import_module"}


@dataclass(frozen=True, order=True)
class Finding:
    """A name that must not be used."""

    file: str
    line: int
    name: str
    advice: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.name}: {self.advice}"


@dataclass(kw_only=True)
class Module:
    """One file: its imports (local name → full name), its classes, and the private names that it defines."""

    file: str
    name: str
    tree: ast.Module
    imports: dict[str, str] = field(default_factory=dict)
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)

    def full_name(self, expression: ast.expr) -> str | None:
        """Return the dotted name of an expression; None if it is not a plain name."""
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
    """All modules below `root`, and the classes in them by full name."""

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
        """Return a class of Hopline, also if a package imports it under this name."""
        module_name, _, class_name = name.rpartition(".")
        module = self.modules.get(module_name)
        if module is None:
            return None
        if class_name in module.classes:
            return module, module.classes[class_name]
        imported = module.imports.get(class_name)
        return self.find_class(imported) if imported and imported != name else None

    def lineage(self, module: Module, cls: ast.ClassDef) -> tuple[set[str], list[str]]:
        """Return the members of a class that Hopline defines, and its nearest bases from other packages."""
        members, foreign = set(members_of(cls)), list[str]()
        for base in cls.bases:
            name = module.full_name(base)
            if name and (found := self.find_class(name)):
                base_members, base_foreign = self.lineage(*found)
                members |= base_members
                foreign += base_foreign
            elif name:
                foreign.append(name)
        return members, foreign

    def findings(self) -> list[Finding]:
        """Return all findings, sorted by file and line."""
        return sorted({finding for module in self.modules.values() for finding in _Search(self, module).run()})


def _read(file: Path, inside: str) -> Module:
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
                module.private |= members_of(node) | {node.name}
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                module.private.add(node.name)
            case ast.Name(id=name, ctx=ast.Store()):
                module.private.add(name)
    return module


@cache
def members_of(cls: ast.ClassDef) -> frozenset[str]:
    """Return the members that a class defines, including attributes of `self` and `cls`."""
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
    """Return whether a name begins with an underscore and is not defined by the language."""
    return name.startswith("_") and name != "_" and not (name.startswith("__") and name.endswith("__"))


@cache
def private_names_of(base: str) -> frozenset[str]:
    """Return the private members of an installed class, including attributes of `self`."""
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
    except TypeError:  # built in
        file = None
    return _classes_in(file).get(cls.__name__, frozenset()) if file else frozenset()


@cache
def _classes_in(file: str) -> dict[str, frozenset[str]]:
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    return {node.name: members_of(node) for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


class _Search(ast.NodeVisitor):
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
        _, foreign = self._project.lineage(self._module, node)
        for base in foreign if members else ():
            for name in sorted(members & private_names_of(base)):
                self._report(node, f"{node.name}.{name}", f"overrides a private name of {base}; choose another name")
        self._classes.append(node)
        self.generic_visit(node)
        self._classes.pop()

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._check_undocumented(node, node.attr)
        if is_private(node.attr) and not self._is_ours(node):
            self._report(node, ast.unparse(node), "private attribute; use a documented name of the package")
        self.generic_visit(node)

    def _is_ours(self, node: ast.Attribute) -> bool:
        match node.value:
            case ast.Name(id="self" | "cls") if self._classes:
                return any(node.attr in self._project.lineage(self._module, cls)[0] for cls in self._classes)
            case ast.Call(func=ast.Name(id="super")) if self._classes:
                members, _ = self._project.lineage(self._module, self._classes[-1])
                return node.attr in members - members_of(self._classes[-1])
        full = self._module.full_name(node)
        if full in ALLOWED or (full and self._project.is_own(full)):
            return True
        return node.attr in DOCUMENTED_ATTRIBUTES or node.attr in self._module.private

    def visit_Name(self, node: ast.Name) -> None:
        self._check_undocumented(node, node.id)

    def visit_Call(self, node: ast.Call) -> None:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for argument in node.args if called in BY_STRING else ():
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                self._check_string(node, argument.value, f"{called}({argument.value!r})")
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        by_name = ast.unparse(node.value).endswith(".__dict__") or ast.unparse(node.value).startswith("vars(")
        if by_name and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
            self._check_string(node, node.slice.value, ast.unparse(node))
        self.generic_visit(node)

    def _check_string(self, node: ast.expr, value: str, name: str) -> None:
        ours = value in self._module.private or self._project.is_own(value)
        if not ours and value not in ALLOWED and any(is_private(part) for part in value.split(".")):
            self._report(node, name, "private name in a string; use a documented name of the package")

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and " " not in node.value:
            self._check_undocumented(node, node.value)

    def _check_undocumented(self, node: ast.expr | ast.stmt, name: str) -> None:
        for undocumented, advice in UNDOCUMENTED.items():
            if name == undocumented or (undocumented.endswith("_") and name.startswith(undocumented)):
                self._report(node, name, advice)
