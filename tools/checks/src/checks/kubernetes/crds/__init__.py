"""Schemas of the custom resources that Hopline uses. The schemas of Kubernetes do not contain them.

`python -m checks.kubernetes.crds FILE…` generates them from the CustomResourceDefinitions of Gateway API 1.6.1, KEDA
2.20.2 and External Secrets 2.9.0 (all Apache-2.0), without descriptions, defaults and CEL rules. They reject unknown
fields, which a server would silently remove.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any

Schema = dict[str, Any]

_LEFT_OUT = {"description", "default", "title"}


@cache
def schema_of(api_version: str, kind: str) -> Schema | None:
    """Return the schema of a kind, or None if this package does not contain it."""
    file = files(__name__) / file_name(api_version, kind)
    if not file.is_file():
        return None
    schema: Schema = json.loads(file.read_text())
    return schema


def file_name(api_version: str, kind: str) -> str:
    """Return the name of a kind's file: `keda.sh_v1alpha1_scaledobject.json`."""
    return f"{api_version.replace('/', '_')}_{kind.lower()}.json"


def closed(schema: Schema) -> Schema:
    """Return an OpenAPI schema as a JSON schema that rejects unknown fields."""
    shrunk: Schema = {}
    for word, value in schema.items():
        if word in _LEFT_OUT or word.startswith("x-kubernetes-"):
            continue
        if word == "properties":
            shrunk[word] = {name: closed(inner) for name, inner in value.items()}
        elif word in {"items", "additionalProperties"} and isinstance(value, dict):
            shrunk[word] = closed(value)
        else:
            shrunk[word] = value
    if "properties" in shrunk and not schema.get("x-kubernetes-preserve-unknown-fields"):
        shrunk.setdefault("additionalProperties", False)
    return shrunk
