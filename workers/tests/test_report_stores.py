"""The object stores of report files: a folder, or a server that speaks S3."""

from pathlib import Path

import obstore
import pytest

from shared.config import ObjectStoreSettings
from shared.db.object_store import ObjectStore, open_object_store
from testkit.s3 import Bucket
from workers.reports.files import PART_BYTES, ReportFiles
from workers.tasks import make_report

from .factories import report_job
from .harness import Harness
from .report_jobs import MAKE_REPORT


class TestStores:
    """The tests run with a folder and with a server that speaks S3."""

    @pytest.fixture(params=["folder", "s3"])
    def store(self, request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
        if request.param == "folder":
            settings = {"object_store_url": tmp_path.as_uri()}
        else:
            settings = request.getfixturevalue("s3_bucket").settings
        return open_object_store(ObjectStoreSettings.model_validate(settings))

    async def test_file_of_several_parts_replaces_the_older_file(self, store: ObjectStore) -> None:
        folder, pieces = ReportFiles(store=store), [bytes([number]) * (PART_BYTES - 1) for number in range(3)]
        for content in ([b"older"], pieces):
            async with folder.open_temporary("reports/r.csv") as writer:
                for piece in content:
                    await writer.write(piece)
            await folder.publish("reports/r.csv")
        assert writer.size_bytes == 3 * (PART_BYTES - 1)
        assert await self._names(store) == ["reports/r.csv"]
        assert (await obstore.get_async(store, "reports/r.csv")).bytes().to_bytes() == b"".join(pieces)

    async def test_nothing_is_stored_when_writing_is_interrupted(self, store: ObjectStore) -> None:
        with pytest.raises(KeyError):
            await self._interrupt(ReportFiles(store=store))
        assert await self._names(store) == []

    async def _interrupt(self, folder: ReportFiles) -> None:
        async with folder.open_temporary("reports/r.csv") as writer:
            for _ in range(3):
                await writer.write(b"x" * PART_BYTES)
            raise KeyError

    async def _names(self, store: ObjectStore) -> list[str]:
        return [found["path"] async for page in obstore.list(store) for found in page]


class TestS3:
    async def test_report_is_stored_in_the_bucket(self, harness: Harness, s3_bucket: Bucket) -> None:
        report_id = harness.orders.reports.add_report("pdf")
        (queued,) = await harness.add(report_job(report_id))
        async with harness.runner(MAKE_REPORT, **s3_bucket.settings) as runner:
            await make_report({"runner": runner}, str(queued.job_id))
        assert harness.orders.reports.ends == {str(report_id): "finish"}
        store = open_object_store(harness.settings(**s3_bucket.settings))
        stored = await obstore.head_async(store, f"reports/{report_id}.pdf")
        assert stored["size"] == harness.orders.reports.calls[-1][1]["size_bytes"]
