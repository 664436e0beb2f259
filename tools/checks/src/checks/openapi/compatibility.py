"""Finds incompatible changes between two versions of an OpenAPI document.

Additions are compatible: new operations, new optional parameters and fields, new responses. Incompatible are: a removed
operation, parameter, response or field, another type, a stricter limit, a new required part of a request. Constraints
on requests may become weaker, and responses may contain more, but not the opposite.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Document = Mapping[str, Any]
Schema = Mapping[str, Any]

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
LOWER_BOUNDS = ("minimum", "exclusiveMinimum", "minLength", "minItems")
UPPER_BOUNDS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")


def losses(before: Document, after: Document) -> Iterator[str]:
    """Yield one line for each incompatible change from `before` to `after`."""
    for path, calls in before["paths"].items():
        for method in METHODS:
            if method in calls:
                later = after["paths"].get(path, {}).get(method)
                yield from _Call(f"{method.upper()} {path}", before, after).losses(calls[method], later)


class _Call:
    """One operation in both documents; `place` names it."""

    def __init__(self, place: str, before: Document, after: Document) -> None:
        self._place = place
        self._before = before
        self._after = after
        self._seen: set[tuple[str, str, str]] = set()

    def losses(self, was: Document, now: Document | None) -> Iterator[str]:
        if now is None:
            yield f"{self._place} was removed"
            return
        yield from self._parameters(was, now)
        yield from self._body(was.get("requestBody"), now.get("requestBody"))
        yield from self._responses(was["responses"], now["responses"])

    def _parameters(self, was: Document, now: Document) -> Iterator[str]:
        earlier, later = _parameters(was), _parameters(now)
        for key in earlier.keys() - later.keys():
            yield f"{self._place}: the parameter {key[1]} was removed"
        for key, parameter in later.items():
            place = f"the parameter {key[1]}"
            if parameter.get("required") and not earlier.get(key, {}).get("required"):
                yield f"{self._place}: {place} is required now"
            if key in earlier:
                yield from self._schemas(place, earlier[key]["schema"], parameter["schema"], sent=True)

    def _body(self, was: Document | None, now: Document | None) -> Iterator[str]:
        if was is None:
            if now and now.get("required"):
                yield f"{self._place}: a body is required now"
            return
        yield from self._contents("the body", was, now or {}, sent=True)

    def _responses(self, was: Document, now: Document) -> Iterator[str]:
        for status, response in was.items():
            if status not in now:
                yield f"{self._place}: the response {status} was removed"
                continue
            for name in response.get("headers", {}).keys() - now[status].get("headers", {}).keys():
                yield f"{self._place}: the response {status} lost its header {name}"
            yield from self._contents(f"the response {status}", response, now[status], sent=False)

    def _contents(self, place: str, was: Document, now: Document, *, sent: bool) -> Iterator[str]:
        for media_type, content in was.get("content", {}).items():
            later = now.get("content", {}).get(media_type)
            if later is None:
                yield f"{self._place}: {place} is not {media_type} any more"
            else:
                yield from self._schemas(place, content.get("schema", {}), later.get("schema", {}), sent=sent)

    def _schemas(self, place: str, was: Schema, now: Schema, *, sent: bool) -> Iterator[str]:
        """Compare schemas that clients send, or that they receive if `sent` is false."""
        pair = (was.get("$ref", ""), now.get("$ref", ""), str(sent))
        if pair[0] and pair[1] and pair in self._seen:
            return
        self._seen.add(pair)
        alternatives = _alternatives(was, self._before), _alternatives(now, self._after)
        was, now = _resolved(was, self._before), _resolved(now, self._after)
        where = f"{self._place}: {place}"
        earlier, later = _kinds(was, self._before), _kinds(now, self._after)
        for kind in (earlier - later) if sent else (later - earlier):
            yield f"{where} cannot be {kind} any more" if sent else f"{where} can be {kind} now"
        yield from (f"{where}: {lost}" for lost in (_narrowed(was, now) if sent else ()))
        if "anyOf" in was or "anyOf" in now:
            yield from self._choices(place, *alternatives, sent=sent)
            return
        yield from self._members(place, was, now, sent=sent)
        if "items" in was and "items" in now:
            yield from self._schemas(f"{place}[]", was["items"], now["items"], sent=sent)

    def _choices(self, place: str, was: Sequence[Schema], now: Sequence[Schema], *, sent: bool) -> Iterator[str]:
        """Compare each alternative that clients sent, or that they receive now, with that of the same name or type."""
        pairs = [
            (earlier, later)
            for earlier in was
            for later in now
            if _kinds(earlier, self._before) & _kinds(later, self._after) - {"null"}
        ]
        pairs.sort(key=lambda pair: pair[0].get("$ref") != pair[1].get("$ref"))
        chosen: dict[int, tuple[Schema, Schema]] = {}
        for earlier, later in pairs:
            chosen.setdefault(id(earlier if sent else later), (earlier, later))
        for earlier, later in chosen.values():
            yield from self._schemas(place, earlier, later, sent=sent)

    def _members(self, place: str, was: Schema, now: Schema, *, sent: bool) -> Iterator[str]:
        earlier, later = was.get("properties", {}), now.get("properties", {})
        for name in earlier.keys() - later.keys():
            yield f"{self._place}: {place} lost {name}"
        required_before, required_after = set(was.get("required", ())), set(now.get("required", ()))
        for name in sorted((required_after - required_before) if sent else (required_before - required_after)):
            if sent or name in later:
                yield f"{self._place}: {place} {'must have' if sent else 'need not have'} {name} now"
        for name in earlier.keys() & later.keys():
            yield from self._schemas(f"{place}.{name}", earlier[name], later[name], sent=sent)
        other_before, other_after = was.get("additionalProperties", True), now.get("additionalProperties", True)
        if isinstance(other_before, Mapping) and isinstance(other_after, Mapping):
            yield from self._schemas(f"{place}.*", other_before, other_after, sent=sent)
        elif sent and other_before is not False and other_after is not True:
            yield f"{self._place}: {place} cannot have all other fields any more"


def _parameters(call: Document) -> dict[tuple[str, str], Any]:
    return {(parameter["in"], parameter["name"]): parameter for parameter in call.get("parameters", ())}


def _resolved(schema: Schema, document: Document) -> Schema:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: Schema = document["components"]["schemas"][reference.rpartition("/")[2]]
    return found


def _alternatives(schema: Schema, document: Document) -> Sequence[Schema]:
    """Return the alternatives of a schema, or the schema itself."""
    found: Sequence[Schema] = _resolved(schema, document).get("anyOf", (schema,))
    return found


def _kinds(schema: Schema, document: Document) -> frozenset[str]:
    """Return the JSON types of a value; all types if the schema has none."""
    schema = _resolved(schema, document)
    if "anyOf" in schema:
        return frozenset().union(*(_kinds(alternative, document) for alternative in schema["anyOf"]))
    named = schema.get("type", "anything")
    return frozenset([named] if isinstance(named, str) else named)


def _narrowed(was: Schema, now: Schema) -> Iterator[str]:
    for value in _values(was) - _values(now):
        if _values(now):
            yield f"{value} is rejected now"
    if _values(now) and not _values(was):
        yield "accepts only certain values now"
    for name in LOWER_BOUNDS:
        if name in now and now[name] > was.get(name, float("-inf")):
            yield f"{name} rose to {now[name]}"
    for name in UPPER_BOUNDS:
        if name in now and now[name] < was.get(name, float("inf")):
            yield f"{name} fell to {now[name]}"
    yield from _reformatted(was, now)


def _reformatted(was: Schema, now: Schema) -> Iterator[str]:
    for name in ("pattern", "format"):
        if name in now and now[name] != was.get(name):
            yield f"has another {name}"
    step = now.get("multipleOf")
    if step and ("multipleOf" not in was or was["multipleOf"] % step):
        yield f"must be a multiple of {step} now"


def _values(schema: Schema) -> set[str]:
    return {str(value) for value in (*schema.get("enum", ()), *([schema["const"]] if "const" in schema else ()))}
