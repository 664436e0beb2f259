"""Schemas of requests may become weaker, schemas of responses may become stricter."""

from typing import Any

import pytest

from checks.openapi.compatibility import find_incompatible_changes

STRING, INTEGER, NUMBER, NULL = {"type": "string"}, {"type": "integer"}, {"type": "number"}, {"type": "null"}
OBJECT, ARRAY, STRINGS = {"type": "object"}, {"type": "array"}, {"type": "array", "items": STRING}
MAP = {**OBJECT, "additionalProperties": STRING}
ONLY_A, ONLY_B = {"const": "a"}, {"const": "b"}


def compare(old: Any, new: Any, *, in_request: bool = True, schemas: tuple[Any, Any] = ({}, {})) -> list[str]:
    """Return the incompatible changes of a schema, which begin with the location."""
    documents = []
    for schema, components in zip((old, new), schemas, strict=True):
        value = {"content": {"application/json": {"schema": schema}}}
        operation = {"requestBody": value, "responses": {}} if in_request else {"responses": {"200": value}}
        documents.append({"paths": {"/": {"post": operation}}, "components": {"schemas": components}})
    prefix = "POST /: the body" if in_request else "POST /: the response 200"
    changes = list(find_incompatible_changes(documents[0], documents[1]))
    assert all(change.startswith(prefix) for change in changes), changes
    return [change.removeprefix(prefix) for change in changes]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (STRING, {}, []),
        ({}, STRING, [" cannot be array, boolean, null, number, object any more"]),
        (INTEGER, NUMBER, []),
        (NUMBER, INTEGER, [" cannot be number any more"]),
        (OBJECT, {**OBJECT, "additionalProperties": {}}, []),
        (MAP, {**OBJECT, "additionalProperties": INTEGER}, [".* cannot be string any more"]),
        (STRING, {"anyOf": [STRING, NULL]}, []),
        ({"type": ["string", "null"]}, {"anyOf": [STRING, NULL]}, []),
        ({"anyOf": [NUMBER, STRING]}, {"anyOf": [INTEGER, STRING, NUMBER]}, []),
        ({"anyOf": [ONLY_A, ONLY_B]}, {"anyOf": [ONLY_A, ONLY_B]}, []),
        ({"anyOf": [ONLY_A, ONLY_B]}, {"anyOf": [ONLY_A]}, [": b is rejected now"]),
        ({"anyOf": [STRING, NUMBER]}, {"anyOf": [STRING, NULL]}, [" cannot be number any more"]),
        ({"anyOf": [STRING]}, {"anyOf": [STRING], "minLength": 3}, [": minLength rose to 3"]),
    ],
)
def test_type_or_alternative_of_a_request_is_found_when_it_is_not_accepted_any_more(
    old: Any, new: Any, expected: list[str]
) -> None:
    assert compare(old, new) == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({}, STRING, []),
        (STRING, {}, [" can be array, boolean, null, number, object now"]),
        (NUMBER, INTEGER, []),
        (INTEGER, NUMBER, [" can be number now"]),
        ({"anyOf": [STRING, INTEGER]}, STRING, []),
        (STRING, {"anyOf": [INTEGER, STRING]}, [" can be integer now"]),
    ],
)
def test_type_of_a_response_is_found_when_it_was_not_possible_before(old: Any, new: Any, expected: list[str]) -> None:
    assert compare(old, new, in_request=False) == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (ARRAY, STRINGS, "[] cannot be array, boolean, null, number, object any more"),
        (ARRAY, {**ARRAY, "uniqueItems": True}, ": items must be unique now"),
        (STRING, {**STRING, "format": "uuid"}, ": has another format"),
        (INTEGER, {**INTEGER, "multipleOf": 5}, ": must be a multiple of 5 now"),
        ({**INTEGER, "multipleOf": 5}, {**INTEGER, "multipleOf": 10}, ": must be a multiple of 10 now"),
        (OBJECT, {**OBJECT, "additionalProperties": False}, ": additional fields are rejected now"),
        (OBJECT, MAP, ".* cannot be array, boolean, null, number, object any more"),
        ({"oneOf": [ONLY_A, ONLY_B]}, {"oneOf": [ONLY_A]}, ": b is rejected now"),
        ({"oneOf": [STRING, INTEGER]}, {"oneOf": [STRING]}, " cannot be integer any more"),
        (OBJECT, {**OBJECT, "minProperties": 1}, ": minProperties rose to 1"),
        (OBJECT, {**OBJECT, "maxProperties": 9}, ": maxProperties fell to 9"),
    ],
)
def test_constraint_of_a_request_is_found_when_it_is_stricter(old: Any, new: Any, expected: str) -> None:
    assert compare(old, new) == [expected]
    assert compare(new, old) == []
    assert compare(new, new) == []


@pytest.mark.parametrize(
    ("restricted", "free", "location"),
    [
        (STRINGS, ARRAY, "[]"),
        (MAP, OBJECT, ".*"),
        (MAP, {**OBJECT, "additionalProperties": True}, ".*"),
        (MAP, {**OBJECT, "additionalProperties": {}}, ".*"),
    ],
)
def test_items_and_additional_fields_of_a_response_are_found_when_they_gain_types(
    restricted: Any, free: Any, location: str
) -> None:
    assert compare(free, restricted, in_request=False) == []
    assert compare(restricted, free, in_request=False) == [
        f"{location} can be array, boolean, null, number, object now"
    ]


@pytest.mark.parametrize("new", [STRING, {**STRING, "format": "date"}], ids=["no format", "another format"])
def test_format_of_a_response_is_found_when_it_changes(new: Any) -> None:
    assert compare({**STRING, "format": "date-time"}, new, in_request=False) == [": has another format"]


@pytest.mark.parametrize("in_request", [True, False])
@pytest.mark.parametrize(
    ("schema", "keyword"),
    [
        ({"allOf": [STRING]}, "allOf"),
        ({"not": STRING}, "not"),
        ({**ARRAY, "prefixItems": [STRING]}, "prefixItems"),
        ({**OBJECT, "patternProperties": {"^a": STRING}}, "patternProperties"),
        ({**OBJECT, "propertyNames": ONLY_A}, "propertyNames"),
        ({"$ref": "#/components/schemas/A", "minLength": 1}, "$ref"),
    ],
)
def test_keyword_is_found_when_it_cannot_be_compared(schema: Any, keyword: str, *, in_request: bool) -> None:
    schemas = ({"A": STRING}, {"A": STRING})
    assert compare(schema, schema, in_request=in_request, schemas=schemas) == [f": {keyword} cannot be compared"]


def test_reference_is_compared_when_it_has_a_description() -> None:
    described = {"$ref": "#/components/schemas/A", "description": "A name.", "default": "a"}
    assert compare(described, INTEGER, schemas=({"A": STRING}, {})) == [" cannot be string any more"]


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        ([{"title": "A", **ONLY_B}, {"title": "B", **ONLY_A}], []),
        (
            [{"title": "A", **ONLY_B, "minLength": 1}, {"title": "B", **ONLY_B}],
            [": a is rejected now", ": minLength rose to 1"],
        ),
        ([{**NULL, "title": "B"}, {**ONLY_B, "minLength": 1}], [": a is rejected now", ": minLength rose to 1"]),
    ],
    ids=["compatible", "same title", "common type"],
)
def test_alternative_is_compared_with_the_most_similar_alternative(new: list[Any], expected: list[str]) -> None:
    assert compare({**STRING, **ONLY_A, "title": "A"}, {"anyOf": new}) == expected


def test_fields_that_all_alternatives_share_are_compared() -> None:
    note = {"type": "object", "properties": {"note": STRING}}
    alternatives = {"anyOf": [{"required": ["a"], "properties": {"a": STRING}}, {"required": ["b"]}]}
    assert compare({**note, **alternatives}, {**note, **alternatives}) == []
    assert compare({**note, **alternatives}, alternatives) == [": field note was removed"]
    note_is_required = {**note, **alternatives, "required": ["note"]}
    assert compare({**note, **alternatives}, note_is_required) == [" must have note now"]


@pytest.mark.parametrize(
    ("in_request", "old", "new", "expected"),
    [
        (True, ["Item", "Login"], ["Item", "Login"], []),
        (True, ["Item", "Login"], ["Login", "Item"], []),
        (True, ["Item", "Login"], ["Item", "Login", "Other"], []),
        (True, ["Item", "Login"], ["Item"], [": field name was removed", " must have sku now"]),
        (False, ["Item", "Login"], ["Login"], []),
        (False, ["Item"], ["Item", "Login"], [": field sku was removed"]),
    ],
)
def test_every_referenced_alternative_is_compared(
    in_request: bool, old: list[str], new: list[str], expected: list[str]
) -> None:
    schemas = {
        "Item": {**OBJECT, "properties": {"sku": STRING}, "required": ["sku"]},
        "Login": {**OBJECT, "properties": {"name": STRING}},
        "Other": {**OBJECT, "properties": {"id": STRING}},
    }
    references = ({"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in names]} for names in (old, new))
    assert compare(*references, in_request=in_request, schemas=(schemas, schemas)) == expected


def test_schema_of_a_discarded_alternative_is_compared_again() -> None:
    schemas = {"A": {"type": "object", "required": ["a"]}, "B": {"type": "object", "required": ["b"]}}
    to_a, to_b = ({"$ref": f"#/components/schemas/{name}"} for name in schemas)
    with_a, with_b = ({"type": "object", "properties": {"inner": reference}} for reference in (to_a, to_b))
    old = {"type": "object", "properties": {"first": with_a, "second": to_a}}
    new = {"type": "object", "properties": {"first": {"anyOf": [with_b, with_a]}, "second": to_b}}
    assert compare(old, new, schemas=(schemas, schemas)) == [".second must have b now"]


def test_comparison_ends_when_alternatives_contain_themselves() -> None:
    items = {"anyOf": [{"$ref": "#/components/schemas/Tree"}, NULL]}
    old, new = ({"Tree": {"anyOf": [leaf, {"type": "array", "items": items}]}} for leaf in (NUMBER, INTEGER))
    tree = {"$ref": "#/components/schemas/Tree"}
    assert compare(tree, tree, schemas=(old, old)) == []
    assert compare(tree, {"anyOf": [tree]}, schemas=(old, old)) == []
    assert compare(tree, tree, schemas=(old, new))[0] == " cannot be number any more"
