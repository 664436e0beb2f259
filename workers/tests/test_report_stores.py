"""Reports: where their files are put, a folder or a server that speaks S3."""

from pathlib import Path

import obstore
import pytest

from shared.objects import ObjectStore, open_object_store
from shared.settings import ObjectStoreSettings
from testkit.s3 import Bucket
from workers.reports.files import PART_BYTES, ReportFolder
from workers.tasks import make_report

from .factories import report_job
from .report_world import MAKE
from .world import World


class TestStores:
    """The same over a folder and over a server that speaks S3."""

    @pytest.fixture(params=["folder", "s3"])
    def store(self, request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
        if request.param == "folder":
            settings = {"object_store_url": tmp_path.as_uri()}
        else:
            settings = request.getfixturevalue("s3_bucket").settings
        return open_object_store(ObjectStoreSettings.model_validate(settings))

    async def test_a_file_of_several_parts_is_put_whole_over_what_was_there(self, store: ObjectStore) -> None:
        folder, pieces = ReportFolder(store=store), [bytes([number]) * (PART_BYTES - 1) for number in range(3)]
        for content in ([b"older"], pieces):
            async with folder.beside("reports/r.csv") as writer:
                for piece in content:
                    await writer.write(piece)
            await folder.put("reports/r.csv")
        assert writer.size_bytes == 3 * (PART_BYTES - 1)
        assert await self._names(store) == ["reports/r.csv"]
        assert (await obstore.get_async(store, "reports/r.csv")).bytes().to_bytes() == b"".join(pieces)

    async def test_a_file_that_is_given_up_leaves_nothing(self, store: ObjectStore) -> None:
        with pytest.raises(KeyError):
            await self._give_up(ReportFolder(store=store))
        assert await self._names(store) == []

    async def _give_up(self, folder: ReportFolder) -> None:
        async with folder.beside("reports/r.csv") as writer:
            for _ in range(3):
                await writer.write(b"x" * PART_BYTES)
            raise KeyError

    async def _names(self, store: ObjectStore) -> list[str]:
        return [found["path"] async for page in obstore.list(store) for found in page]


class TestS3:
    async def test_a_report_is_put_there(self, world: World, s3_bucket: Bucket) -> None:
        report_id = world.orders.desk.wants("pdf")
        (queued,) = await world.add(report_job(report_id))
        async with world.runner(MAKE, **s3_bucket.settings) as runner:
            await make_report({"runner": runner}, str(queued.job_id))
        assert world.orders.desk.ends == {str(report_id): "finish"}
        store = open_object_store(world.settings(**s3_bucket.settings))
        stored = await obstore.head_async(store, f"reports/{report_id}.pdf")
        assert stored["size"] == world.orders.desk.told[-1][1]["size_bytes"]
