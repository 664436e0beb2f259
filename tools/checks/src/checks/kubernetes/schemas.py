"""Checks all objects with the schemas of their kinds; unknown fields are rejected.

Kubernetes' own schemas come with `kubernetes-validate`, those of custom resources from `checks.kubernetes.crds`. The
package's own `validate` would stop at an object's first error and read a megabyte of definitions for each object.
"""

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from referencing import Registry, Resource

from checks.findings import Finding
from checks.kubernetes.crds import Schema, schema_of
from checks.kubernetes.manifests import Rendering

VERSIONS = ("1.33", "1.37")
"""The oldest supported and the newest known version of Kubernetes. Versions in between accept what both accept."""


def check_schemas(rendering: Rendering) -> Iterator[Finding]:
    """Report fields that a schema rejects, and kinds without a schema."""
    for manifest in rendering.manifests:
        body = json.dumps(manifest.body)
        for version in VERSIONS:
            for problem, fix in _mistakes(version, body):
                yield Finding(manifest.place, problem, fix)


@cache
def _mistakes(version: str, body: str) -> list[tuple[str, str]]:
    """Return the problems and fixes of an object. Results are cached, because renderings share objects."""
    manifest = json.loads(body)
    api_version, kind = manifest["apiVersion"], manifest["kind"]
    validator = _validator(version, api_version, kind)
    if validator is None:
        problem = f"Kubernetes {version} has no {api_version} {kind}, and there is no schema of such a custom resource"
        return [(problem, "correct apiVersion and kind, or add its schema by python -m checks.kubernetes.crds")]
    errors = (_deepest(error) for error in validator.iter_errors(manifest))
    fix = f"see kubectl explain {kind.lower()}"
    return [(f"{'.'.join(map(str, error.absolute_path)) or 'the object'}: {error.message}", fix) for error in errors]


def _deepest(error: ValidationError) -> ValidationError:
    """Return the most specific error: of alternatives that all failed, an error of the first."""
    return _deepest(error.context[0]) if error.context else error


@cache
def _validator(version: str, api_version: str, kind: str) -> Draft202012Validator | None:
    own = schema_of(api_version, kind)
    if own is not None:
        return Draft202012Validator(own)
    group = api_version.partition("/")[0].partition(".")[0]  # networking of networking.k8s.io
    suffix = f"{group}-{api_version.rpartition('/')[2]}" if "/" in api_version else api_version
    schema = _packaged(version, f"{kind.lower()}-{suffix}.json")
    return Draft202012Validator(schema, registry=_definitions(version)) if schema else None


@cache
def _definitions(version: str) -> Registry[Any]:
    resource = Resource.from_contents(_packaged(version, "_definitions.json"))
    return resource @ Registry()


def _packaged(version: str, name: str) -> Schema | None:
    file = files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}.0-local-strict" / name
    if not file.is_file():
        return None
    schema: Schema = json.loads(file.read_text())
    return schema
