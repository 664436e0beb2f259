"""Every answer is as the OpenAPI document says, whatever is asked: schemathesis draws the questions from it."""

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
"""For each operation, of valid and of spoiled requests each; the same in every run."""

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

DOCUMENTS = {
    "users": ("users", ""),
    "orders": ("orders", ""),
    "notifications": ("notifications", ""),
    "version 1": ("gateway", "/v1"),
    "version 2": ("gateway", "/v2"),
}


@pytest.mark.xdist_group("contracts")  # one shop for all of them
@pytest.mark.filterwarnings(  # the shop's own thread draws random ids while hypothesis draws requests
    "ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning"
)
@pytest.mark.parametrize("name", DOCUMENTS)
def test_answers_are_as_documented(running_shop: RunningShop, name: str) -> None:
    process, prefix = DOCUMENTS[name]
    base = running_shop.urls[process] + prefix
    document = httpx.get(f"{base}/openapi.json", timeout=30).raise_for_status().json()
    failures: dict[str, str] = {}
    answered: set[str] = set()
    for operation in operations(document):
        headers = running_shop.service if "/internal/" in operation.path else running_shop.ann
        for mode in GenerationMode:
            for answer in asked(operation, mode, base=base, headers=headers):
                if isinstance(answer, FailureGroup):
                    failures[operation.label] = "\n".join(str(failure) for failure in answer.exceptions)
                else:
                    answered.add(f"{operation.label} {answer // 100}xx")
    assert not failures, "\n\n".join(f"{label}: {said}" for label, said in failures.items())
    unanswered = {operation.label for operation in operations(document)} - {one.rpartition(" ")[0] for one in answered}
    assert not unanswered


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        assert isinstance(found, Ok), found
        yield found.ok()


def asked(
    operation: Operation, mode: GenerationMode, *, base: str, headers: dict[str, str]
) -> list[int | FailureGroup]:
    """The statuses of what was answered as documented, and what was not."""
    answers: list[int | FailureGroup] = []

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(mode))
    def ask(case: Case[Any]) -> None:
        response = case.call(base_url=base, headers=headers, timeout=60)
        try:
            case.validate_response(response, checks=CHECKS)
        except FailureGroup as failures:
            answers.append(failures)
        else:
            answers.append(response.status_code)

    try:
        ask()
    except Unsatisfiable:  # nothing to spoil
        assert mode is GenerationMode.NEGATIVE
    return answers
