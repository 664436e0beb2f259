from collections.abc import Callable
from typing import Any

Docker = Any  # the conftest's, which importlib mode does not let a test import
Run = Callable[..., Any]

BESIDE = "compose --progress quiet run --rm --no-deps -T"


class TestOperations:
    def test_run_beside_the_services_and_not_in_their_memory(self, docker: Docker, run: Run) -> None:
        docker.containers({"worker": {}, "notifications": {}})
        assert run("dead-letters").returncode == 0
        assert [call for call in docker.called if call.startswith(BESIDE)] == [
            f"{BESIDE} worker python -m workers.operations dead-letters",
            f"{BESIDE} notifications python -m shared.events --of notifications dead-letters",
            f"{BESIDE} worker python -m shared.events --of workers dead-letters",
        ]

    def test_exit_code_is_the_commands(self, docker: Docker, run: Run) -> None:
        docker.containers({"notifications": {}})
        docker.answer(BESIDE, status=1, error="there is no dead event\n\n")  # the second by Compose
        done = run("replay", "notifications:3")
        assert (done.returncode, done.stderr) == (1, "there is no dead event\n")

    def test_that_lack_their_service_say_so(self, docker: Docker, run: Run) -> None:
        docker.containers({"notifications": {}})
        assert run("jobs").stderr == "worker is not running: `make up` starts it\n"

    def test_wrong_id_gets_one_clear_line(self, run: Run) -> None:
        assert run("replay", "orders:3").stderr.startswith("ID=orders:3: expected the id of a job or of an event")
