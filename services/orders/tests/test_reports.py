"""The report routes for users. `test_report_work` tests the routes for the worker."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import orjson
import pytest
from services.orders.tests.clients import ApiClient, report_body
from services.orders.tests.factories import Shop, error_fields

from orders.settings import get_settings


async def request_report(caller: ApiClient, **changes: Any) -> dict[str, Any]:
    """Request a report, and return it."""
    response = await caller.request_report(**changes)
    assert response.status_code == 202, response.text
    report: dict[str, Any] = response.json()
    return report


async def create_finished_report(
    shop: Shop, caller: ApiClient, content: bytes = b"id\n1\n", **changes: Any
) -> dict[str, Any]:
    """Request a report, write its file and finish it."""
    report = await request_report(caller, **changes)
    job = (await shop.worker.post(f"/internal/reports/{report['id']}/begin")).json()
    file = shop.objects / job["object_key"]
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    body = {"size_bytes": len(content)}
    assert (await shop.worker.post(f"/internal/reports/{report['id']}/finish", body)).is_success
    return report


class TestRequestReport:
    async def test_report_is_accepted_and_readable(self, shop: Shop) -> None:
        customer = shop.client()
        accepted = await customer.request_report(from_="2026-11-01", to="2026-11-24", format="pdf")
        assert accepted.status_code == 202
        report = accepted.json()
        assert accepted.headers["Location"] == f"/reports/{report['id']}"
        assert report == {
            "id": report["id"],
            "user_id": str(customer.id),
            "kind": "orders",
            "format": "pdf",
            "from": "2026-11-01T00:00:00Z",
            "to": "2026-11-25T00:00:00Z",
            "status": "queued",
            "progress": 0,
            "download_url": None,
            "size_bytes": None,
            "error": None,
            "created_at": report["created_at"],
            "finished_at": None,
        }
        assert (await customer.get(accepted.headers["Location"])).json() == report

    async def test_request_publishes_an_event(self, shop: Shop) -> None:
        customer = shop.client()
        report = await request_report(customer)
        [event] = await shop.events_of(report["id"])
        assert event["type"] == "hopline.report.requested.v1"
        assert orjson.loads(event["data"]) == {
            "report_id": report["id"],
            "user_id": str(customer.id),
            "kind": "orders",
            "format": "csv",
        }

    async def test_period_can_have_offsets_or_be_one_day(self, shop: Shop) -> None:
        report = await request_report(shop.client(), from_="2026-11-01T01:30:00+02:00", to="2026-11-01T00:00:00Z")
        assert (report["from"], report["to"]) == ("2026-10-31T23:30:00Z", "2026-11-01T00:00:00Z")
        report = await request_report(shop.client(), from_="2026-11-01", to="2026-11-01")
        assert (report["from"], report["to"]) == ("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z")

    async def test_period_can_be_a_leap_year_that_ends_tomorrow(self, shop: Shop) -> None:
        tomorrow = datetime.now(UTC).date() + timedelta(days=1)
        first_of_366_days = tomorrow - timedelta(days=365)
        await request_report(shop.client(), from_=str(first_of_366_days), to=str(tomorrow))


NOW = datetime.now(UTC)

INVALID_REQUESTS: list[tuple[dict[str, Any], *tuple[str, ...]]] = [
    ({"kind": "users"}, "kind"),
    ({"format": "xlsx"}, "format"),
    ({"format": None}, "format"),
    ({"from_": "yesterday"}, "from"),
    ({"from_": "2026-13-01"}, "from"),
    ({"from_": "2026-02-30T00:00:00Z"}, "from"),
    ({"from_": "2026-11-01T00:00:00"}, "from"),
    ({"from_": 1_790_000_000}, "from"),
    ({"from_": "1790000000"}, "from"),
    ({"to": None}, "to"),
    ({"to": "9999-12-31"}, "to"),
    ({"to": "9999-12-30"}, "to"),
    ({"to": "9999-12-31T23:59:59-12:00"}, "to"),
    ({"from_": "0001-01-01T00:00:00Z", "to": "0001-01-02T00:00:00Z"}, "from", "to"),
    ({"from_": "0001-01-01", "to": "0001-01-01"}, "from", "to"),
    ({"from_": "0001-01-01T00:00:00+14:00"}, "from"),
    ({"from_": "1999-12-31", "to": "2000-01-01"}, "from"),
    ({"to": "2026-11-01' OR 1=1"}, "to"),
    ({"from_": "2026-11-02", "to": "2026-11-01"}, "to"),
    ({"from_": "2026-11-01T00:00:00Z", "to": "2026-11-01T00:00:00Z"}, "to"),
    ({"from_": "2015-01-01", "to": "2026-11-01"}, "to"),
    ({"from_": str((NOW + timedelta(days=3)).date()), "to": str((NOW + timedelta(days=4)).date())}, "from"),
    ({"name": "../../etc/passwd"}, "name"),
]
"""Changes of a valid request, and the fields that the error must name."""


class TestBadInput:
    async def test_request_is_rejected_with_the_field_name_when_it_is_invalid(self, shop: Shop) -> None:
        customer = shop.client()
        for changes, *fields in INVALID_REQUESTS:
            rejected = await customer.request_report(**changes)
            assert (rejected.status_code, error_fields(rejected)) == (422, fields), changes
            assert rejected.headers["Content-Type"] == "application/problem+json"
            assert rejected.json()["errors"][0]["message"]
        assert await shop.database.fetchval("SELECT count(*) FROM report") == 0

    async def test_request_names_the_field_when_it_is_missing(self, shop: Shop) -> None:
        for name in ("kind", "format", "from", "to"):
            body = {key: value for key, value in report_body().items() if key != name}
            assert error_fields(await shop.client().post("/reports", body)) == [name]

    async def test_error_states_the_longest_period_when_the_period_is_too_long(self, shop: Shop) -> None:
        rejected = await shop.client().request_report(from_="2024-01-01", to="2025-01-01")  # 367 days with the last one
        assert rejected.json()["detail"] == "to makes the period longer than 366 days"

    async def test_longest_period_is_read_from_the_injected_settings(self, shop: Shop) -> None:
        settings = shop.app.state.settings.model_copy(update={"report_longest_days": 7})
        shop.app.dependency_overrides[get_settings] = lambda: settings
        rejected = await shop.client().request_report()
        assert rejected.json()["detail"] == "to makes the period longer than 7 days"

    async def test_reports_are_unauthorized_when_the_token_is_missing(self, shop: Shop) -> None:
        for method, path in (("POST", ""), ("GET", f"/{uuid4()}"), ("GET", f"/{uuid4()}/download")):
            assert (await shop.http.request(method, f"/reports{path}")).status_code == 401


class TestAccess:
    async def test_report_is_not_found_when_the_caller_is_another_customer(self, shop: Shop) -> None:
        report = await create_finished_report(shop, shop.client())
        for path in (f"/reports/{report['id']}", f"/reports/{report['id']}/download"):
            rejected = await shop.client().get(path)
            assert rejected.status_code == 404
            assert rejected.json()["type"].endswith("/report-not-found")
            assert (await shop.client(role="admin").get(path)).is_success

    async def test_report_is_not_found_when_its_id_is_unknown(self, shop: Shop) -> None:
        assert (await shop.client().get(f"/reports/{uuid4()}")).status_code == 404

    async def test_worker_calls_are_forbidden_when_the_caller_is_not_a_service(self, shop: Shop) -> None:
        report = await request_report(shop.client())
        for caller in (shop.client(), shop.client(role="admin")):
            for call in ("begin", "progress", "finish", "fail"):
                assert (await caller.post(f"/internal/reports/{report['id']}/{call}", {})).status_code == 403
            assert (await caller.get(f"/internal/reports/{report['id']}/orders")).status_code == 403


class TestDownload:
    @pytest.mark.parametrize(
        ("extension", "media_type"), [("csv", "text/csv; charset=utf-8"), ("pdf", "application/pdf")]
    )
    async def test_download_has_the_type_length_and_name_of_the_file(
        self, shop: Shop, extension: str, media_type: str
    ) -> None:
        customer, content = shop.client(), bytes(range(256)) * 4000
        report = await create_finished_report(
            shop, customer, content, format=extension, from_="2026-11-01", to="2026-11-24"
        )
        done = (await customer.get(f"/reports/{report['id']}")).json()
        assert (done["status"], done["progress"], done["size_bytes"]) == ("done", 100, len(content))
        assert done["download_url"] == f"/v2/reports/{report['id']}/download"
        file = await customer.get(done["download_url"].removeprefix("/v2"))
        assert file.content == content
        assert file.headers["Content-Type"] == media_type
        assert file.headers["Content-Length"] == str(len(content))
        name = f"orders-2026-11-01-to-2026-11-24.{extension}"
        assert file.headers["Content-Disposition"] == f'attachment; filename="{name}"'

    async def test_download_conflicts_when_the_report_is_not_done(self, shop: Shop) -> None:
        customer = shop.client()
        report = await request_report(customer)
        rejected = await customer.get(f"/reports/{report['id']}/download")
        assert rejected.status_code == 409
        assert rejected.json()["type"].endswith("/report-not-ready")

    async def test_download_conflicts_when_the_file_is_missing(self, shop: Shop) -> None:
        customer = shop.client()
        report = await create_finished_report(shop, customer)
        (shop.objects / f"reports/{report['id']}.csv").unlink()
        assert (await customer.get(f"/reports/{report['id']}/download")).status_code == 409
