from collections.abc import Callable
from typing import Any

FakeDocker = Any  # defined in conftest.py, which tests cannot import in importlib mode
Run = Callable[..., Any]

RUN_COMMAND = "compose --progress quiet run --rm --no-deps -T"


class TestServiceCommands:
    def test_dead_letters_runs_each_command_in_a_new_container(self, docker: FakeDocker, run: Run) -> None:
        docker.list_containers({"worker": {}, "notifications": {}})
        assert run("dead-letters").returncode == 0
        assert [call for call in docker.calls if call.startswith(RUN_COMMAND)] == [
            f"{RUN_COMMAND} worker python -m workers.cli dead-letters",
            f"{RUN_COMMAND} notifications python -m shared.commands.events --of notifications dead-letters",
            f"{RUN_COMMAND} worker python -m shared.commands.events --of workers dead-letters",
        ]

    def test_replay_returns_the_exit_code_and_the_error_of_the_command(self, docker: FakeDocker, run: Run) -> None:
        docker.list_containers({"notifications": {}})
        docker.respond(RUN_COMMAND, status=1, error="there is no dead letter\n\n")  # Compose adds the empty line
        done = run("replay", "notifications:3")
        assert (done.returncode, done.stderr) == (1, "there is no dead letter\n")

    def test_jobs_fails_when_the_worker_does_not_run(self, docker: FakeDocker, run: Run) -> None:
        docker.list_containers({"notifications": {}})
        assert run("jobs").stderr == "worker is not running: `make up` starts it\n"

    def test_replay_rejects_the_id_when_its_service_has_no_dead_letters(self, run: Run) -> None:
        assert run("replay", "orders:3").stderr.startswith("ID=orders:3: expected the id of a job or of an event")
