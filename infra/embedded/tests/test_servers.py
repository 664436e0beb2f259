"""The two servers on their own: created, started, used and stopped, as root or not."""

import asyncio
import shutil
import signal
import socket
import tempfile
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from embedded import postgres, valkey


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture(params=[0o700, 0o755], ids=["private folder", "open folder"])
def folder(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder that other accounts may or may not enter, as a checkout below /root or /home is."""
    path = Path(tempfile.mkdtemp(prefix="hopline-test-"))
    path.chmod(request.param)
    yield path
    assert path.stat().st_mode & 0o777 == request.param, "permissions of a person's folder were changed"
    link = path / "postgres"
    if link.is_symlink():
        shutil.rmtree(link.resolve())
    shutil.rmtree(path)


@asynccontextmanager
async def running(server: postgres.Postgres, password: str) -> AsyncIterator[str]:
    command = server.argv(durable=False)
    process = await asyncio.create_subprocess_exec(*command, cwd="/", stderr=DEVNULL, **server.identity)
    try:
        await postgres.wait_until_ready(server.url(password))
        yield server.url(password)
    finally:
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.wait(), 20)


class TestPostgres:
    async def test_serves_and_keeps_its_data(self, folder: Path) -> None:
        server = postgres.prepare(folder / "postgres", port=free_port())
        assert server.initialise("secret") is True
        async with running(server, "secret") as url:
            await postgres.ensure_database(url, name="orders", password="first")
            await postgres.ensure_database(url, name="orders", password="second")
            connection = await asyncpg.connect(server.url("second", user="orders", database="orders"))
            assert await connection.fetchval("SHOW server_version_num") >= "180000"
            await connection.execute("CREATE TABLE kept (id int)")
            await connection.close()
        assert server.initialise("ignored: it exists") is False
        async with running(postgres.prepare(folder / "postgres", port=server.port), "secret"):
            pass

    async def test_refuses_a_wrong_password_and_a_foreign_role(self, folder: Path) -> None:
        server = postgres.prepare(folder / "postgres", port=free_port())
        server.initialise("secret")
        async with running(server, "secret") as url:
            await postgres.ensure_database(url, name="orders", password="o")
            await postgres.ensure_database(url, name="users", password="u")
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(server.url("wrong"))
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await asyncpg.connect(server.url("u", user="users", database="orders"))

    def test_an_interrupted_creation_is_repeated(self, folder: Path) -> None:
        server = postgres.prepare(folder / "postgres", port=free_port())
        (server.cluster / "data.new").mkdir()
        (server.cluster / "password").write_text("old")
        assert server.initialise("secret") is True
        assert [path.name for path in server.cluster.iterdir()] == ["data"]


class TestValkey:
    async def test_serves_and_keeps_what_was_written(self, folder: Path) -> None:
        server = valkey.prepare(folder / "valkey", port=free_port())

        async def ask(*lines: bytes) -> bytes:
            process = await asyncio.create_subprocess_exec(*server.argv(), stdout=DEVNULL)
            try:
                await valkey.wait_until_ready(server.port)
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(b"\r\n".join(lines) + b"\r\nQUIT\r\n")
                answer = await reader.read()
                writer.close()
                return answer
            finally:
                process.terminate()
                await asyncio.wait_for(process.wait(), 10)

        await ask(b"SET kept yes")
        assert b"yes" in await ask(b"GET kept")
