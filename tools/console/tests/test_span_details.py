"""Details that the console prints with a span."""

from typing import Any

import pytest

from console.span_details import find_detail, find_repeat_reason


class TestFindDetail:
    @pytest.mark.parametrize(
        ("operation", "tags", "expected"),
        [
            ("INSERT", {"db.query.text": "INSERT INTO outbox (id) VALUES ($1)"}, "outbox"),
            ("UPDATE", {"db.query.text": 'UPDATE "email" SET state = $1'}, "email"),
            (
                "SELECT",
                {"db.query.text": "SELECT a FROM customer_order WHERE id = $1 FOR UPDATE OF product"},
                "customer_order",
            ),
            (
                "WITH",
                {"db.query.text": "WITH w AS (SELECT * FROM unnest($1))\nUPDATE product SET stock = 1"},
                "product",
            ),
            ("WITH", {"db.query.text": "WITH w AS (SELECT * FROM unnest($1)) SELECT * FROM w JOIN product"}, "w"),
            ("SELECT job", {"db.query.text": "SELECT 1 FROM job"}, ""),
            ("SELECT", {"db.query.text": "SELECT 1"}, ""),
            (
                "GET",
                {"span.kind": "client", "http.request.method": "GET", "url.full": "http://users:8001/a/b?c=d"},
                "/a/b",
            ),
            ("GET /a", {"span.kind": "client", "http.request.method": "GET", "url.full": "http://users/a"}, ""),
            ("process events:orders", {"cloudevents.event_type": "hopline.order.placed.v1"}, "hopline.order.placed.v1"),
        ],
    )
    def test_detail_that_the_name_omits_is_found(self, operation: str, tags: dict[str, Any], expected: str) -> None:
        assert find_detail(operation, tags) == expected


class TestFindRepeatReason:
    @pytest.mark.parametrize(
        ("tags", "expected"),
        [
            ({}, ""),
            ({"hopline.job.attempt": 1}, ""),
            ({"hopline.job.attempt": 3}, "attempt 3"),
            ({"http.request.resend_count": 1}, "attempt 2"),
            ({"hopline.messaging.redelivered": True}, "redelivered"),
            ({"hopline.messaging.redelivered": True, "hopline.applied_before": True}, "applied before"),
        ],
        ids=str,
    )
    def test_repeat_reason_is_found(self, tags: dict[str, Any], expected: str) -> None:
        assert find_repeat_reason(tags) == expected
