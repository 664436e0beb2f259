"""Report files in an S3 object store, and responses while the store is unavailable."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import obstore
import pytest
from pydantic import ValidationError
from services.orders.tests.clients import ApiClient
from services.orders.tests.factories import Shop, open_shop

from orders.settings import Settings
from shared.config import ObjectStoreSettings
from shared.db.object_store import open_object_store
from testkit.apps import free_port
from testkit.s3 import Bucket
from testkit.tokens import TokenIssuer


@pytest.fixture
def store_settings(s3_bucket: Bucket) -> dict[str, Any]:
    return s3_bucket.settings


@pytest.fixture
async def shop(
    database: str, redis_url: str, token_issuer: TokenIssuer, tmp_path: Path, store_settings: dict[str, Any]
) -> AsyncIterator[Shop]:
    async with open_shop(
        database=database, redis_url=redis_url, issuer=token_issuer, objects=tmp_path, **store_settings
    ) as shop:
        yield shop


async def create_report_without_file(shop: Shop, customer: ApiClient) -> str:
    """Create a report that is done but has no file, and return its id."""
    report_id: str = (await customer.request_report()).json()["id"]
    assert (await shop.worker.post(f"/internal/reports/{report_id}/finish", {"size_bytes": 1})).is_success
    return report_id


def test_store_below_tmp_is_rejected_when_the_environment_is_production(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OBJECT_STORE_URL", raising=False)
    required = {"database_url": "postgresql://h/orders", "redis_url": "redis://h", "jwks_url": "http://h/jwks"}
    assert Settings.model_validate(required)
    with pytest.raises(ValidationError, match="OBJECT_STORE_URL is rejected below /tmp in production"):
        Settings.model_validate({**required, "environment": "production"})


class TestS3:
    async def test_files_are_downloaded_and_deleted_by_cleanup(
        self, shop: Shop, store_settings: dict[str, Any]
    ) -> None:
        customer = shop.client()
        report_id = await create_report_without_file(shop, customer)
        objects, key = open_object_store(ObjectStoreSettings.model_validate(store_settings)), f"reports/{report_id}.csv"
        content = bytes(range(256)) * 4000
        await obstore.put_async(objects, key, content)
        file = await customer.get(f"/reports/{report_id}/download")
        assert file.content == content
        assert file.headers["Content-Length"] == str(len(content))
        await shop.database.execute("UPDATE report SET finished_at = now() - interval '31 days'")
        assert (await shop.worker.post("/internal/housekeeping", {})).json()["removed"]["reports"] == 1
        with pytest.raises(FileNotFoundError):
            await obstore.head_async(objects, key)
        ready = (await shop.http.get("/health/ready")).json()
        assert ready["dependencies"]["objects"]["status"] == "up"


class TestStoreUnavailable:
    @pytest.fixture
    def store_settings(self, s3_bucket: Bucket) -> dict[str, Any]:
        return s3_bucket.settings | {"s3_endpoint": f"http://127.0.0.1:{free_port()}"}

    async def test_downloads_return_503_and_reports_are_served_when_the_store_is_unavailable(self, shop: Shop) -> None:
        customer = shop.client()
        report_id = await create_report_without_file(shop, customer)
        rejected = await customer.get(f"/reports/{report_id}/download")
        assert (rejected.status_code, rejected.headers["Retry-After"]) == (503, "1")
        await shop.database.execute("UPDATE report SET finished_at = now() - interval '31 days'")
        assert (await shop.worker.post("/internal/housekeeping", {})).status_code == 503
        assert await shop.database.fetchval("SELECT count(*) FROM report") == 1
        assert (await customer.get(f"/reports/{report_id}")).is_success
        ready = await shop.http.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
