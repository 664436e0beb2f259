"""Reports' files in an object store that speaks S3, there and away."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import obstore
import pytest
from pydantic import ValidationError
from services.orders.tests.factories import Shop, open_shop

from orders.settings import Settings
from shared.objects import open_object_store
from shared.settings import ObjectStoreSettings
from testkit.apps import free_port
from testkit.s3 import Bucket
from testkit.tokens import TokenIssuer

KEY = "reports/{id}.csv"


@pytest.fixture
def store(s3_bucket: Bucket) -> dict[str, Any]:
    return s3_bucket.settings


@pytest.fixture
async def shop(
    database: str, redis_url: str, token_issuer: TokenIssuer, tmp_path: Path, store: dict[str, Any]
) -> AsyncIterator[Shop]:
    async with open_shop(
        database=database, redis_url=redis_url, issuer=token_issuer, objects=tmp_path, **store
    ) as shop:
        yield shop


async def finished(shop: Shop) -> tuple[str, dict[str, str]]:
    """A report that is said to be done, and its customer's token."""
    customer = shop.caller()
    report: str = (await customer.request_report()).json()["id"]
    assert (await shop.warehouse.post(f"/internal/reports/{report}/finish", {"size_bytes": 1})).is_success
    return report, customer.headers


def test_files_that_would_not_last_are_refused_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OBJECT_STORE_URL", raising=False)
    stores = {"database_url": "postgresql://h/orders", "redis_url": "redis://h", "jwks_url": "http://h/jwks"}
    assert Settings.model_validate(stores)
    with pytest.raises(ValidationError, match="OBJECT_STORE_URL is refused below /tmp"):
        Settings.model_validate({**stores, "environment": "production"})


class TestS3:
    async def test_files_are_downloaded_and_pruned(self, shop: Shop, store: dict[str, Any]) -> None:
        report, headers = await finished(shop)
        objects = open_object_store(ObjectStoreSettings.model_validate(store))
        content = bytes(range(256)) * 4000
        await obstore.put_async(objects, KEY.format(id=report), content)
        file = await shop.http.get(f"/reports/{report}/download", headers=headers)
        assert file.content == content
        assert file.headers["Content-Length"] == str(len(content))
        await shop.database.execute("UPDATE report SET finished_at = now() - interval '31 days'")
        assert (await shop.warehouse.post("/internal/housekeeping", {})).json()["removed"]["reports"] == 1
        with pytest.raises(FileNotFoundError):
            await obstore.head_async(objects, KEY.format(id=report))
        ready = (await shop.http.get("/health/ready")).json()
        assert ready["dependencies"]["objects"]["status"] == "up"


class TestStoreAway:
    @pytest.fixture
    def store(self, s3_bucket: Bucket) -> dict[str, Any]:
        return s3_bucket.settings | {"s3_endpoint": f"http://127.0.0.1:{free_port()}"}

    async def test_is_503_for_files_and_nothing_for_the_rest(self, shop: Shop) -> None:
        report, headers = await finished(shop)
        refused = await shop.http.get(f"/reports/{report}/download", headers=headers)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        await shop.database.execute("UPDATE report SET finished_at = now() - interval '31 days'")
        assert (await shop.warehouse.post("/internal/housekeeping", {})).status_code == 503
        assert await shop.database.fetchval("SELECT count(*) FROM report") == 1
        assert (await shop.http.get(f"/reports/{report}", headers=headers)).is_success
        ready = await shop.http.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
