"""The responses to requests that schemathesis generates from the OpenAPI documents conform to the documents."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.contracts.conftest import RunningShop

Operation = APIOperation[Any, Any, Any, Any]

EXAMPLES = 3
"""Number of valid requests, and of invalid requests, for each operation. All runs send the same requests."""

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

DOCUMENTS = {  # name of the document → process that serves it, and prefix of its paths
    "users": ("users", ""),
    "orders": ("orders", ""),
    "notifications": ("notifications", ""),
    "version 1": ("gateway", "/v1"),
    "version 2": ("gateway", "/v2"),
}


@pytest.mark.xdist_group("contracts")  # these tests share one shop
@pytest.mark.filterwarnings(  # the shop's thread uses `random` during a run of hypothesis
    "ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning"
)
@pytest.mark.parametrize("name", DOCUMENTS)
def test_responses_are_as_documented(running_shop: RunningShop, name: str) -> None:
    process, prefix = DOCUMENTS[name]
    base = running_shop.urls[process] + prefix
    document = httpx.get(f"{base}/openapi.json", timeout=30).raise_for_status().json()
    failures: list[str] = []
    statuses: dict[str, set[int]] = {}
    for operation in list_operations(document):
        headers = running_shop.service_headers if "/internal/" in operation.path else running_shop.admin_headers
        statuses[operation.label] = set()
        for mode in GenerationMode:
            for response in send_requests(operation, mode, base=base, headers=headers):
                if isinstance(response, FailureGroup):
                    failures += [f"{operation.label}: {failure}" for failure in response.exceptions]
                else:
                    statuses[operation.label].add(response)
    assert not failures, "\n\n".join(failures)
    assert not [label for label, codes in statuses.items() if not codes], "an operation has no conforming response"
    # Other operations may have no successful response, because generated ids and references do not exist.
    without_ids = {label for label in statuses if label.startswith("GET ") and "{" not in label}
    assert without_ids <= {label for label, codes in statuses.items() if any(code // 100 == 2 for code in codes)}


def list_operations(document: dict[str, Any]) -> Iterator[Operation]:
    for result in schemathesis.openapi.from_dict(document).get_all_operations():
        assert isinstance(result, Ok), result
        yield result.ok()


def send_requests(
    operation: Operation, mode: GenerationMode, *, base: str, headers: dict[str, str]
) -> list[int | FailureGroup]:
    """Send generated requests. Return the status of each conforming response, and the failures of each other one."""
    responses: list[int | FailureGroup] = []

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(mode))
    def send(case: Case[Any]) -> None:
        response = case.call(base_url=base, headers=headers, timeout=60)
        try:
            case.validate_response(response, checks=CHECKS)
        except FailureGroup as failures:
            responses.append(failures)
        else:
            responses.append(response.status_code)

    try:
        send()
    except Unsatisfiable:  # no request of the operation can be invalid
        assert mode is GenerationMode.NEGATIVE
    return responses
