"""The commands of services that `make replay` runs."""

import pytest

from embedded import service_commands
from embedded.errors import EmbeddedError
from embedded.service_commands import Command


class TestReplay:
    def test_command_is_of_the_consumer_when_the_id_names_an_event(self) -> None:
        command = Command("notifications", ("shared.commands.events", "--of", "notifications", "replay", "3"))
        assert service_commands.replay("notifications:3") == command
        assert service_commands.replay("workers:3").process == "worker"

    def test_command_is_of_the_workers_when_the_id_is_of_a_job(self) -> None:
        job = "5b0c2a3e-7f51-4b1e-9c55-0d8f0a9d3c11"
        assert service_commands.replay(job.upper()) == Command("worker", ("workers.cli", "replay", job))

    @pytest.mark.parametrize(
        "dead_letter_id", ["", "3", "orders:3", "notifications:", "notifications:-1", "workers:3; --help"]
    )
    def test_invalid_id_is_rejected(self, dead_letter_id: str) -> None:
        with pytest.raises(EmbeddedError, match=r"expected the id of a job or of an event .*dead-letters"):
            service_commands.replay(dead_letter_id)
