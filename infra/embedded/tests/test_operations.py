import pytest

from embedded import operations
from embedded.errors import EmbeddedError
from embedded.operations import Command


class TestReplay:
    def test_id_of_an_event_names_its_service(self) -> None:
        asked = Command("notifications", ("shared.events", "--of", "notifications", "replay", "3"))
        assert operations.replay("notifications:3") == asked
        assert operations.replay("workers:3").process == "worker"

    def test_any_other_id_is_a_jobs(self) -> None:
        job = "5b0c2a3e-7f51-4b1e-9c55-0d8f0a9d3c11"
        assert operations.replay(job.upper()) == Command("worker", ("workers.operations", "replay", job))

    @pytest.mark.parametrize("name", ["", "3", "orders:3", "notifications:", "notifications:-1", "workers:3; --help"])
    def test_what_is_neither_gets_one_clear_line(self, name: str) -> None:
        with pytest.raises(EmbeddedError, match=r"expected the id of a job or of an event .*dead-letters"):
            operations.replay(name)
