"""The object stores of report files: a folder, or a server with the S3 API."""

from pathlib import Path

import obstore
import pytest

from shared.config import ObjectStoreSettings
from shared.db.object_store import ObjectStore, open_object_store
from testkit.s3 import Bucket
from workers.reports.files import PART_BYTES, ReportFiles

from .harness import Harness
from .report_jobs import run_report_job


class TestStores:
    """`ReportFiles` with each type of object store."""

    @pytest.fixture(params=["folder", "s3"])
    def store(self, request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
        if request.param == "folder":
            settings = {"object_store_url": tmp_path.as_uri()}
        else:
            settings = request.getfixturevalue("s3_bucket").settings
        return open_object_store(ObjectStoreSettings.model_validate(settings))

    async def test_file_of_several_parts_replaces_the_older_file(self, store: ObjectStore) -> None:
        report_files, pieces = ReportFiles(store=store), [bytes([number]) * (PART_BYTES - 1) for number in range(3)]
        for content in ([b"older"], pieces):
            async with report_files.open_temporary("reports/r.csv") as writer:
                for piece in content:
                    await writer.write(piece)
            await report_files.publish("reports/r.csv")
        assert writer.size_bytes == sum(len(piece) for piece in pieces)
        assert await self._list_keys(store) == ["reports/r.csv"]
        assert (await obstore.get_async(store, "reports/r.csv")).bytes().to_bytes() == b"".join(pieces)

    async def test_nothing_is_stored_when_writing_is_interrupted(self, store: ObjectStore) -> None:
        with pytest.raises(KeyError):
            await self._interrupt_writing(ReportFiles(store=store))
        assert await self._list_keys(store) == []

    async def _interrupt_writing(self, report_files: ReportFiles) -> None:
        async with report_files.open_temporary("reports/r.csv") as writer:
            for _ in range(3):
                await writer.write(b"x" * PART_BYTES)
            raise KeyError

    async def _list_keys(self, store: ObjectStore) -> list[str]:
        return [stored["path"] async for page in obstore.list(store) for stored in page]


class TestS3:
    async def test_report_is_stored_in_the_bucket(self, harness: Harness, s3_bucket: Bucket) -> None:
        report_id = harness.orders.reports.add_report("pdf")
        await run_report_job(harness, report_id, settings=s3_bucket.settings)
        assert harness.orders.reports.ends == {str(report_id): "finish"}
        store = open_object_store(harness.settings(**s3_bucket.settings))
        stored = await obstore.head_async(store, f"reports/{report_id}.pdf")
        assert stored["size"] == harness.orders.reports.calls[-1][1]["size_bytes"]
