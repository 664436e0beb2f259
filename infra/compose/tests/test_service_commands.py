from collections.abc import Callable
from typing import Any

FakeDocker = Any  # defined in conftest.py, which tests cannot import in importlib mode
Run = Callable[..., Any]

RUN_COMMAND = "compose --progress quiet run --rm --no-deps -T"


class TestServiceCommands:
    def test_command_runs_in_a_separate_container(self, docker: FakeDocker, run: Run) -> None:
        docker.containers({"worker": {}, "notifications": {}})
        assert run("dead-letters").returncode == 0
        assert [call for call in docker.called if call.startswith(RUN_COMMAND)] == [
            f"{RUN_COMMAND} worker python -m workers.cli dead-letters",
            f"{RUN_COMMAND} notifications python -m shared.commands.events --of notifications dead-letters",
            f"{RUN_COMMAND} worker python -m shared.commands.events --of workers dead-letters",
        ]

    def test_exit_code_is_that_of_the_command(self, docker: FakeDocker, run: Run) -> None:
        docker.containers({"notifications": {}})
        docker.respond(RUN_COMMAND, status=1, error="there is no dead letter\n\n")  # Compose adds the second line break
        done = run("replay", "notifications:3")
        assert (done.returncode, done.stderr) == (1, "there is no dead letter\n")

    def test_error_names_the_service_when_it_does_not_run(self, docker: FakeDocker, run: Run) -> None:
        docker.containers({"notifications": {}})
        assert run("jobs").stderr == "worker is not running: `make up` starts it\n"

    def test_invalid_id_is_rejected(self, run: Run) -> None:
        assert run("replay", "orders:3").stderr.startswith("ID=orders:3: expected the id of a job or of an event")
