"""Finds incompatible changes between two versions of an OpenAPI document.

Additions are compatible: new operations, new optional parameters and fields, new responses. These changes are
incompatible: a removed operation, parameter, response or field; a changed type; a stricter limit; a new required part
of a request. Constraints on requests may become weaker but not stricter. Responses may gain fields but not lose them.

A schema with a keyword that this module does not compare is reported, because a change of it would not be found.
"""

from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

Document = Mapping[str, Any]
Schema = Mapping[str, Any]

ANY_VALUE: Schema = {}
ALL_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
LOWER_BOUNDS = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
UPPER_BOUNDS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
ANNOTATIONS = {
    *("title", "description", "default", "example", "examples"),
    *("deprecated", "readOnly", "writeOnly", "discriminator", "contentMediaType"),
}
"""Keywords of a schema that do not restrict the value."""
COMPARED = {
    *ANNOTATIONS,
    *LOWER_BOUNDS,
    *UPPER_BOUNDS,
    *("type", "enum", "const", "pattern", "format", "multipleOf", "uniqueItems", "items"),
    *("properties", "required", "additionalProperties"),
}


def find_incompatible_changes(old: Document, new: Document) -> Iterator[str]:
    """Yield one line for each incompatible change from `old` to `new`."""
    for path, old_operations in old["paths"].items():
        new_operations = new["paths"].get(path, {})
        for method in METHODS:
            if method in old_operations:
                operation = _Operation(f"{method.upper()} {path}", old, new)
                changes = operation.compare(old_operations[method], new_operations.get(method))
                yield from dict.fromkeys(changes)  # alternatives share fields, so a change can be found twice


class _Operation:
    """Compares one operation of both documents. Each line begins with the operation's name and the location."""

    def __init__(self, name: str, old_document: Document, new_document: Document) -> None:
        self._name = name
        self._old_document = old_document
        self._new_document = new_document
        self._seen: set[tuple[int, int, bool]] = set()

    def compare(self, old: Document, new: Document | None) -> Iterator[str]:
        if new is None:
            yield f"{self._name} was removed"
            return
        yield from self._compare_parameters(old, new)
        yield from self._compare_bodies(old.get("requestBody"), new.get("requestBody"))
        yield from self._compare_responses(old["responses"], new["responses"])

    def _compare_parameters(self, old: Document, new: Document) -> Iterator[str]:
        old_parameters, new_parameters = _get_parameters(old), _get_parameters(new)
        for key in sorted(old_parameters.keys() - new_parameters.keys()):
            yield f"{self._name}: the parameter {key[1]} was removed"
        for key, parameter in new_parameters.items():
            location = f"{self._name}: the parameter {key[1]}"
            old_parameter = old_parameters.get(key)
            if parameter.get("required") and not (old_parameter or {}).get("required"):
                yield f"{location} is required now"
            if old_parameter:
                yield from self._compare_schemas(
                    location, old_parameter["schema"], parameter["schema"], in_request=True
                )

    def _compare_bodies(self, old: Document | None, new: Document | None) -> Iterator[str]:
        old, new = old or {}, new or {}
        if new.get("required") and not old.get("required"):
            yield f"{self._name}: the body is required now"
        yield from self._compare_contents(f"{self._name}: the body", old, new, in_request=True)

    def _compare_responses(self, old: Document, new: Document) -> Iterator[str]:
        for status, response in old.items():
            location = f"{self._name}: the response {status}"
            if status not in new:
                yield f"{location} was removed"
                continue
            for header in sorted(response.get("headers", {}).keys() - new[status].get("headers", {}).keys()):
                yield f"{location}: header {header} was removed"
            yield from self._compare_contents(location, response, new[status], in_request=False)

    def _compare_contents(self, location: str, old: Document, new: Document, *, in_request: bool) -> Iterator[str]:
        for media_type, old_content in old.get("content", {}).items():
            new_content = new.get("content", {}).get(media_type)
            if new_content is None:
                yield f"{location} is not {media_type} any more"
            else:
                schemas = old_content.get("schema", ANY_VALUE), new_content.get("schema", ANY_VALUE)
                yield from self._compare_schemas(location, *schemas, in_request=in_request)

    def _compare_schemas(self, location: str, old: Schema, new: Schema, *, in_request: bool) -> Iterator[str]:
        """Compare the schemas of one value in a request, or in a response if `in_request` is false.

        Each old alternative of a request needs a compatible new alternative. Each new alternative of a response needs a
        compatible old alternative.
        """
        old, new = _resolve(old, self._old_document), _resolve(new, self._new_document)
        compared = (id(old), id(new), in_request)
        if compared in self._seen:
            return
        self._seen.add(compared)
        old_alternatives = _get_alternatives(old, self._old_document)
        new_alternatives = _get_alternatives(new, self._new_document)
        if in_request:
            groups = [[(old, new) for new in new_alternatives] for old in old_alternatives]
        else:
            groups = [[(old, new) for old in old_alternatives] for new in new_alternatives]
        for pairs in groups:
            yield from self._compare_most_similar(location, pairs, in_request=in_request)

    def _compare_most_similar(
        self, location: str, pairs: Sequence[tuple[Schema, Schema]], *, in_request: bool
    ) -> Iterator[str]:
        """Yield the changes of the most similar pair. They are empty if any pair is compatible.

        A pair is more similar if it has the same title, then if it has a common type, then if it has fewer changes.
        """
        seen, results = self._seen, []
        for old, new in pairs:
            self._seen = set(seen)  # a discarded pair must not mark its schemas as seen
            changes = list(self._compare_alternatives(location, old, new, in_request=in_request))
            same = old.get("title") == new.get("title"), bool(_get_types(old) & _get_types(new))
            results.append(((not changes, *same, -len(changes)), changes, self._seen))
        _, changes, self._seen = max(results, key=itemgetter(0))
        yield from changes

    def _compare_alternatives(self, location: str, old: Schema, new: Schema, *, in_request: bool) -> Iterator[str]:
        """Compare two schemas that have no alternatives."""
        for keyword in sorted((old.keys() | new.keys()) - COMPARED):
            yield f"{location}: {keyword} cannot be compared"
        old_types, new_types = _get_types(old), _get_types(new)
        if different := (old_types - new_types) if in_request else (new_types - old_types):
            names = ", ".join(sorted(different - {"integer"} if "number" in different else different))
            yield f"{location} cannot be {names} any more" if in_request else f"{location} can be {names} now"
        if not old_types & new_types:
            return
        if in_request:
            yield from (f"{location}: {change}" for change in _compare_constraints(old, new))
        elif "format" in old and new.get("format") != old["format"]:
            yield f"{location}: has another format"
        yield from self._compare_fields(location, old, new, in_request=in_request)
        items = old.get("items", ANY_VALUE), new.get("items", ANY_VALUE)
        yield from self._compare_schemas(f"{location}[]", *items, in_request=in_request)

    def _compare_fields(self, location: str, old: Schema, new: Schema, *, in_request: bool) -> Iterator[str]:
        old_fields, new_fields = old.get("properties", {}), new.get("properties", {})
        for name in sorted(old_fields.keys() - new_fields.keys()):
            yield f"{location}: field {name} was removed"
        old_required, new_required = set(old.get("required", ())), set(new.get("required", ()))
        if in_request:
            yield from (f"{location} must have {name} now" for name in sorted(new_required - old_required))
        else:
            optional = (old_required - new_required) & new_fields.keys()
            yield from (f"{location}: {name} is optional now" for name in sorted(optional))
        for name in sorted(old_fields.keys() & new_fields.keys()):
            schemas = old_fields[name], new_fields[name]
            yield from self._compare_schemas(f"{location}.{name}", *schemas, in_request=in_request)
        old_others, new_others = _get_additional_fields(old), _get_additional_fields(new)
        if old_others is not None and new_others is not None:
            yield from self._compare_schemas(f"{location}.*", old_others, new_others, in_request=in_request)
        elif in_request and old_others is not None:
            yield f"{location}: additional fields are rejected now"


def _get_parameters(operation: Document) -> dict[tuple[str, str], Any]:
    return {(parameter["in"], parameter["name"]): parameter for parameter in operation.get("parameters", ())}


def _get_additional_fields(schema: Schema) -> Schema | None:
    """Return the schema of the fields that `properties` does not list; None if they are not allowed."""
    others: Schema | bool = schema.get("additionalProperties", True)
    return (ANY_VALUE if others else None) if isinstance(others, bool) else others


def _resolve(schema: Schema, document: Document) -> Schema:
    """Return the schema that a reference names. A reference beside constraints is returned, so that it is reported."""
    reference = schema.get("$ref")
    if reference is None or schema.keys() - ANNOTATIONS - {"$ref"}:
        return schema
    found: Schema = document["components"]["schemas"][reference.rpartition("/")[2]]
    return found


def _get_alternatives(schema: Schema, document: Document) -> list[Schema]:
    """Return one schema for each alternative and each type.

    Each includes the constraints that stand beside `anyOf` or `oneOf`.
    """
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            shared = {name: value for name, value in schema.items() if name != keyword}
            merged = (_merge(shared, _resolve(alternative, document)) for alternative in schema[keyword])
            return [found for alternative in merged for found in _get_alternatives(alternative, document)]
    if isinstance(schema.get("type"), list):
        return [{**schema, "type": name} for name in schema["type"]]
    return [schema]


def _merge(shared: Schema, alternative: Schema) -> Schema:
    properties = {**shared.get("properties", {}), **alternative.get("properties", {})}
    required = [*shared.get("required", ()), *alternative.get("required", ())]
    return {**shared, **alternative, "properties": properties, "required": required}


def _get_types(schema: Schema) -> frozenset[str]:
    """Return the JSON types of a value; all types if the schema has none. Integers are numbers, too."""
    name = schema.get("type")
    if name is None:
        return ALL_TYPES
    return frozenset({"number", "integer"} if name == "number" else {name})


def _compare_constraints(old: Schema, new: Schema) -> Iterator[str]:
    """Yield each constraint that is stricter in the new schema."""
    yield from _compare_values(_get_values(old), _get_values(new))
    yield from _compare_limits(old, new)
    for name in ("pattern", "format"):
        if name in new and new[name] != old.get(name):
            yield f"has another {name}"


def _compare_values(old: set[str], new: set[str]) -> Iterator[str]:
    if new:
        yield from (f"{value} is rejected now" for value in sorted(old - new))
        if not old:
            yield "accepts only certain values now"


def _compare_limits(old: Schema, new: Schema) -> Iterator[str]:
    for name in LOWER_BOUNDS:
        if name in new and new[name] > old.get(name, float("-inf")):
            yield f"{name} rose to {new[name]}"
    for name in UPPER_BOUNDS:
        if name in new and new[name] < old.get(name, float("inf")):
            yield f"{name} fell to {new[name]}"
    step = new.get("multipleOf")
    if step and ("multipleOf" not in old or old["multipleOf"] % step):
        yield f"must be a multiple of {step} now"
    if new.get("uniqueItems") and not old.get("uniqueItems"):
        yield "items must be unique now"


def _get_values(schema: Schema) -> set[str]:
    return {str(value) for value in (*schema.get("enum", ()), *([schema["const"]] if "const" in schema else ()))}
