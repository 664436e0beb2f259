"""Requests match the OpenAPI document, and error responses and invalid responses raise a problem."""

import json
import os
import random
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx
import pytest

from hopline_client import api
from hopline_client.api import ProblemError, Request
from hopline_client.backoff import Backoff

DOCUMENT = json.loads((Path(__file__).parents[3] / "docs/openapi/v2.json").read_text(encoding="utf-8"))
ID = "0198b7f0-1111-7000-8000-000000000001"
REQUESTS: list[Request[object]] = [
    api.register(email="a@example.com", password="p", name="Ada"),
    api.log_in(email="a@example.com", password="p"),
    api.refresh("token"),
    api.get_user(),
    api.list_products(limit=5, cursor="c"),
    api.get_product("MUG"),
    api.place_order(("MUG", 1)),
    api.list_orders(limit=5, status="placed"),
    api.get_order(ID),
    api.get_summary(ID),
    api.cancel_order(ID),
    api.get_dashboard(),
    api.list_notifications(after_seq=3, limit=5),
    api.mark_read(3),
    api.create_ticket(),
    api.request_report(first=date(2026, 1, 1), last=date(2026, 1, 31)),
    api.get_report(ID),
    api.download_report(f"/v2/reports/{ID}/download"),
]


class TestRequests:
    @pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: f"{request.method} {request.route}")
    def test_request_has_only_parameters_and_members_of_the_openapi_document(self, request_: Request[object]) -> None:
        operation = DOCUMENT["paths"][request_.route.removeprefix("/v2")][request_.method.lower()]
        parameters = {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] != "path"}
        assert {*request_.params, *request_.headers} <= parameters
        assert ("requestBody" in operation) == bool(request_.json or request_.form)
        if request_.json:
            [body] = operation["requestBody"]["content"].values()
            schema = DOCUMENT["components"]["schemas"][body["schema"]["$ref"].rpartition("/")[2]]
            assert isinstance(request_.json, dict)
            assert set(schema["required"]) <= request_.json.keys() <= schema["properties"].keys()

    def test_ids_are_quoted_in_paths(self) -> None:
        assert api.get_product("a/../b?c").path == "/v2/products/a%2F..%2Fb%3Fc"
        assert api.cancel_order("1/../2").path == "/v2/orders/1%2F..%2F2/cancel"

    def test_order_has_the_given_key_or_a_new_one(self) -> None:
        first, second = api.place_order(("MUG", 1)), api.place_order(("MUG", 1))
        assert first.headers["Idempotency-Key"] != second.headers["Idempotency-Key"]
        assert api.place_order(("MUG", 1), key="mine").headers == {"Idempotency-Key": "mine"}

    def test_requests_are_built_when_no_other_package_is_installed(self) -> None:
        folder = str(Path(api.__file__).parents[1])
        program = "from hopline_client import api, realtime; print(api.get_user().path)"
        result = subprocess.run(  # noqa: S603 - our own command line
            [sys.executable, "-S", "-c", program],
            env={**os.environ, "PYTHONPATH": folder},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.stdout == "/v2/users/me\n", result.stderr


class TestProblem:
    def test_problem_has_all_members_of_the_response(self) -> None:
        body = {
            "type": "https://hopline.example/problems/validation",
            "title": "Not valid",
            "detail": "See errors",
            "trace_id": "a" * 32,
            "errors": [{"field": "items", "message": "is empty"}, {"field": "items.0", "message": "is wrong"}],
        }
        response = httpx.Response(422, json=body, headers={"Retry-After": "3"})
        with pytest.raises(ProblemError) as raised:
            api.read(api.place_order(), response)
        problem = raised.value
        assert (problem.status, problem.slug, problem.title, problem.detail) == (
            422,
            "validation",
            "Not valid",
            "See errors",
        )
        assert problem.errors == {"items": "is empty", "items.0": "is wrong"}
        assert (problem.trace_id, problem.retry_after_s) == ("a" * 32, 3.0)
        assert str(problem) == "POST /v2/orders got 422: items: is empty; items.0: is wrong"

    @pytest.mark.parametrize("body", [b"", b"<html>no</html>", b"[1]", b'{"errors": [1, {"field": []}]}', b"\xff{"])
    def test_problem_is_raised_when_the_body_of_an_error_response_is_invalid(self, body: bytes) -> None:
        headers = {"traceresponse": f"00-{'b' * 32}-{'c' * 16}-01"}
        with pytest.raises(ProblemError) as raised:
            api.read(api.get_user(), httpx.Response(502, content=body, headers=headers))
        assert (raised.value.status, raised.value.slug, raised.value.trace_id) == (502, "", "b" * 32)

    def test_problem_is_raised_when_a_successful_response_is_not_json(self) -> None:
        with pytest.raises(ProblemError, match="GET /v2/users/me got 200: <html>"):
            api.read(api.get_user(), httpx.Response(200, content=b"<html>"))


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("0", 0.0),
            ("120", 120.0),
            ("-1", None),
            ("soon", None),
            ("", None),
            ("Mon, 01 Jan 99999999999 00:00:00 GMT", None),
        ],
    )
    def test_retry_after_is_read_from_seconds_and_ignored_when_it_is_malformed(
        self, value: str, seconds: float | None
    ) -> None:
        assert api.retry_after_s(httpx.Response(503, headers={"Retry-After": value})) == seconds

    def test_retry_after_is_read_from_a_date(self) -> None:
        later = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
        seconds = api.retry_after_s(httpx.Response(503, headers={"Retry-After": later}))
        assert seconds is not None
        assert 50 < seconds <= 60


class MaximumRandom(random.Random):
    """A random source that always chooses the maximum."""

    def uniform(self, _a: float, b: float) -> float:
        return b


class TestBackoff:
    def test_longest_delay_doubles_with_each_attempt_up_to_the_maximum(self) -> None:
        backoff = Backoff(first_s=0.25, max_s=5.0, rng=MaximumRandom())
        assert [backoff.delay_s(attempt) for attempt in (0, 1, 2, 3, 4, 5, 10**6)] == [0.25, 0.5, 1, 2, 4, 5, 5]

    def test_delay_is_random(self) -> None:
        delays = {Backoff(first_s=1.0).delay_s(0) for _ in range(100)}
        assert len(delays) > 1
        assert 0 <= min(delays) <= max(delays) <= 1


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="orders.csv"', "orders.csv"),
        ('attachment; filename="../../etc/passwd"', ""),
        ('attachment; filename=".."', ""),
        ("attachment", ""),
    ],
)
def test_filename_is_empty_when_the_header_is_missing_or_names_another_folder(disposition: str, name: str) -> None:
    assert api.filename(httpx.Response(200, headers={"Content-Disposition": disposition})) == name
