from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FakeDocker = Any  # defined in conftest.py, which tests cannot import in importlib mode
Run = Callable[..., Any]


class TestEngine:
    def test_up_fails_and_names_the_embedded_mode_when_docker_is_missing(self, run: Run, tmp_path: Path) -> None:
        done = run("up", PATH=str(tmp_path))
        assert done.returncode == 1
        assert done.stderr == "the command docker is missing: install Docker, or run `make up MODE=embedded`\n"

    def test_status_fails_when_no_engine_responds(self, docker: FakeDocker, run: Run) -> None:
        docker.respond("version", status=1, error="Cannot connect to the Docker daemon\n")
        done = run("status")
        assert done.returncode == 1
        assert "no Docker engine responds: start it" in done.stderr

    @pytest.mark.parametrize("version", ["2.23.3", "1.29.2", "v2.20.0-desktop.1"])
    def test_up_rejects_an_old_version_of_compose(self, docker: FakeDocker, run: Run, version: str) -> None:
        docker.respond("compose version", version)
        done = run("up")
        assert done.returncode == 1
        assert "is too old: install 2.24 or newer" in done.stderr
