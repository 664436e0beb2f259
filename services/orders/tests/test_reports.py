"""Reports as those see them who ask for one; the worker's side is in `test_report_work`."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import orjson
import pytest
from services.orders.tests.factories import Caller, Shop, fields, report_body

from orders.settings import get_settings


async def requested(caller: Caller, **changes: Any) -> dict[str, Any]:
    answer = await caller.request_report(**changes)
    assert answer.status_code == 202, answer.text
    report: dict[str, Any] = answer.json()
    return report


async def made(shop: Shop, caller: Caller, content: bytes = b"id\n1\n", **changes: Any) -> dict[str, Any]:
    """A report that a worker has made."""
    report = await requested(caller, **changes)
    begun = (await shop.warehouse.post(f"/internal/reports/{report['id']}/begin")).json()
    file = shop.objects / begun["object_key"]
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    body = {"size_bytes": len(content)}
    assert (await shop.warehouse.post(f"/internal/reports/{report['id']}/finish", body)).is_success
    return report


class TestRequestReport:
    async def test_is_accepted_and_can_be_followed(self, shop: Shop) -> None:
        customer = shop.caller()
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

    async def test_is_an_event_of_the_same_transaction(self, shop: Shop) -> None:
        customer = shop.caller()
        report = await requested(customer)
        [event] = await shop.events_of(report["id"])
        assert event["type"] == "hopline.report.requested.v1"
        assert orjson.loads(event["data"]) == {
            "report_id": report["id"],
            "user_id": str(customer.id),
            "kind": "orders",
            "format": "csv",
        }

    async def test_takes_times_of_any_offset_and_one_day(self, shop: Shop) -> None:
        report = await requested(shop.caller(), from_="2026-11-01T01:30:00+02:00", to="2026-11-01T00:00:00Z")
        assert (report["from"], report["to"]) == ("2026-10-31T23:30:00Z", "2026-11-01T00:00:00Z")
        report = await requested(shop.caller(), from_="2026-11-01", to="2026-11-01")
        assert (report["from"], report["to"]) == ("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z")

    async def test_up_to_a_leap_year_until_tomorrow_is_accepted(self, shop: Shop) -> None:
        today = datetime.now(UTC).date()
        await requested(shop.caller(), from_=str(today - timedelta(days=364)), to=str(today + timedelta(days=1)))


NOW = datetime.now(UTC)

WRONG: list[tuple[dict[str, Any], str]] = [
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
    ({"from_": "0001-01-01T00:00:00Z", "to": "0001-01-02T00:00:00Z"}, "from, to"),
    ({"from_": "0001-01-01", "to": "0001-01-01"}, "from, to"),
    ({"from_": "0001-01-01T00:00:00+14:00"}, "from"),
    ({"from_": "1999-12-31", "to": "2000-01-01"}, "from"),
    ({"to": "2026-11-01' OR 1=1"}, "to"),
    ({"from_": "2026-11-02", "to": "2026-11-01"}, "to"),
    ({"from_": "2026-11-01T00:00:00Z", "to": "2026-11-01T00:00:00Z"}, "to"),
    ({"from_": "2015-01-01", "to": "2026-11-01"}, "to"),
    ({"from_": str((NOW + timedelta(days=3)).date()), "to": str((NOW + timedelta(days=4)).date())}, "from"),
    ({"name": "../../etc/passwd"}, "name"),
]


class TestBadInput:
    async def test_is_refused_by_the_name_of_the_field(self, shop: Shop) -> None:
        customer = shop.caller()
        for changes, field in WRONG:
            refused = await customer.request_report(**changes)
            assert (refused.status_code, fields(refused)) == (422, field.split(", ")), changes
            assert refused.headers["Content-Type"] == "application/problem+json"
            assert refused.json()["errors"][0]["message"]
        assert await shop.database.fetchval("SELECT count(*) FROM report") == 0

    async def test_missing_fields_are_named(self, shop: Shop) -> None:
        for name in ("kind", "format", "from", "to"):
            body = {key: value for key, value in report_body().items() if key != name}
            assert fields(await shop.caller().post("/reports", body)) == [name]

    async def test_the_longest_period_is_said(self, shop: Shop) -> None:
        refused = await shop.caller().request_report(from_="2020-01-01")
        assert refused.json()["detail"] == "to must be at most 366 days after from"

    async def test_the_longest_period_is_that_of_the_injected_settings(self, shop: Shop) -> None:
        settings = shop.app.state.settings.model_copy(update={"report_longest_days": 7})
        shop.app.dependency_overrides[get_settings] = lambda: settings
        refused = await shop.caller().request_report()
        assert refused.json()["detail"] == "to must be at most 7 days after from"

    async def test_without_a_token_nothing_is_told(self, shop: Shop) -> None:
        for method, path in (("POST", ""), ("GET", f"/{uuid4()}"), ("GET", f"/{uuid4()}/download")):
            assert (await shop.http.request(method, f"/reports{path}")).status_code == 401


class TestOthers:
    async def test_do_not_find_it_and_an_admin_does(self, shop: Shop) -> None:
        report = await made(shop, shop.caller())
        for path in (f"/reports/{report['id']}", f"/reports/{report['id']}/download"):
            refused = await shop.caller().get(path)
            assert refused.status_code == 404
            assert refused.json()["type"].endswith("/report-not-found")
            assert (await shop.caller(role="admin").get(path)).is_success

    async def test_missing_one_looks_like_anothers(self, shop: Shop) -> None:
        assert (await shop.caller().get(f"/reports/{uuid4()}")).status_code == 404

    async def test_may_not_speak_for_the_worker(self, shop: Shop) -> None:
        report = await requested(shop.caller())
        for caller in (shop.caller(), shop.caller(role="admin")):
            for call in ("begin", "progress", "finish", "fail"):
                assert (await caller.post(f"/internal/reports/{report['id']}/{call}", {})).status_code == 403
            assert (await caller.get(f"/internal/reports/{report['id']}/orders")).status_code == 403


class TestDownload:
    @pytest.mark.parametrize(("kind", "media_type"), [("csv", "text/csv; charset=utf-8"), ("pdf", "application/pdf")])
    async def test_is_the_file_with_its_type_length_and_name(self, shop: Shop, kind: str, media_type: str) -> None:
        customer, content = shop.caller(), bytes(range(256)) * 4000
        report = await made(shop, customer, content, format=kind, from_="2026-11-01", to="2026-11-24")
        done = (await customer.get(f"/reports/{report['id']}")).json()
        assert (done["status"], done["progress"], done["size_bytes"]) == ("done", 100, len(content))
        assert done["download_url"] == f"/v2/reports/{report['id']}/download"
        file = await customer.get(done["download_url"].removeprefix("/v2"))
        assert file.content == content
        assert file.headers["Content-Type"] == media_type
        assert file.headers["Content-Length"] == str(len(content))
        name = f"orders-2026-11-01-to-2026-11-24.{kind}"
        assert file.headers["Content-Disposition"] == f'attachment; filename="{name}"'

    async def test_before_it_is_done_there_is_nothing(self, shop: Shop) -> None:
        customer = shop.caller()
        report = await requested(customer)
        refused = await customer.get(f"/reports/{report['id']}/download")
        assert refused.status_code == 409
        assert refused.json()["type"].endswith("/report-not-ready")

    async def test_a_lost_file_is_said_to_be_lost(self, shop: Shop) -> None:
        customer = shop.caller()
        report = await made(shop, customer)
        (shop.objects / f"reports/{report['id']}.csv").unlink()
        assert (await customer.get(f"/reports/{report['id']}/download")).status_code == 409
