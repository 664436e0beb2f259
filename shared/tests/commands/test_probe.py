"""The probe of a process: the readiness of a service over HTTP, or a key in Redis."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI, Response
from redis.asyncio import Redis

from shared.commands import probe
from testkit.apps import free_port, serve
from testkit.certificates import create_server_context


def create_app(*, readiness: int) -> FastAPI:
    """Return a service that responds to a readiness probe with the status `readiness`."""
    app = FastAPI()

    @app.get("/health/ready")
    async def ready() -> Response:
        return Response("body", status_code=readiness)

    return app


class TestHttp:
    @pytest.mark.parametrize(("readiness", "exit_status", "error"), [(200, 0, ""), (503, 1, "503 body\n")])
    async def test_exit_status_follows_readiness_on_the_configured_port(
        self,
        readiness: int,
        exit_status: int,
        error: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        async with serve(create_app(readiness=readiness)) as url:
            monkeypatch.setenv("PORT", str(urlsplit(url).port))
            assert await asyncio.to_thread(probe.main, []) == exit_status
        assert capsys.readouterr().err == error

    def test_probe_fails_when_the_process_is_unreachable(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("PORT", str(free_port()))
        assert probe.main([]) == 1
        assert "ConnectionRefusedError" in capsys.readouterr().err

    def test_default_port_is_used_when_the_variable_is_empty(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ports: list[int] = []
        monkeypatch.setenv("PORT", "")
        monkeypatch.setattr(probe, "check_readiness", ports.append)
        assert probe.main([]) == 0
        assert ports == [8000]


class TestKey:
    async def test_probe_succeeds_only_when_the_key_exists(
        self, redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("REDIS_URL", redis_url)
        assert probe.main(["jobs:health"]) == 1
        assert capsys.readouterr().err == "jobs:health: +OK, :0\n"
        async with Redis.from_url(redis_url) as redis:
            await redis.set("jobs:health", "1")
        assert probe.main(["jobs:health"]) == 0

    async def test_probe_reads_the_url_from_its_file_when_the_variable_is_missing(
        self, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "redis_url").write_text(f"{redis_url}\n")
        monkeypatch.delenv("REDIS_URL", raising=False)
        monkeypatch.setenv("REDIS_URL_FILE", str(tmp_path / "redis_url"))
        assert probe.main(["jobs:health"]) == 1
        assert capsys.readouterr().err == "jobs:health: +OK, :0\n"
        monkeypatch.setenv("REDIS_URL_FILE", str(tmp_path / "missing"))
        assert probe.main(["jobs:health"]) == 1
        assert "No such file" in capsys.readouterr().err

    async def test_probe_uses_tls_when_the_url_requires_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"jobs:health\r\n")
            writer.write(b"+OK\r\n:1\r\n")
            writer.close()

        certificate = tmp_path / "redis.pem"
        tls = create_server_context(certificate)
        async with await asyncio.start_server(respond, "127.0.0.1", 0, ssl=tls) as server:
            url = f"rediss://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
            monkeypatch.setenv("REDIS_URL", url)
            assert await asyncio.to_thread(probe.main, ["jobs:health"]) == 1
            assert "SSLCertVerificationError" in capsys.readouterr().err
            for option in (f"ssl_ca_certs={certificate}", "ssl_cert_reqs=none"):
                monkeypatch.setenv("REDIS_URL", f"{url}?{option}")
                assert await asyncio.to_thread(probe.main, ["jobs:health"]) == 0
            monkeypatch.setenv("REDIS_URL", url)
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
            assert await asyncio.to_thread(probe.main, ["jobs:health"]) == 0
