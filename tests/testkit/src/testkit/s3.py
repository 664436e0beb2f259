"""A real server that speaks S3's protocol, in a thread of this process: moto's, without any of its patching."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import httpx
import pytest


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """One bucket; `settings` are what a process needs to use it."""

    name: str
    server: str

    @property
    def settings(self) -> dict[str, str]:
        """By the names of `shared.settings.ObjectStoreSettings`."""
        return {
            "object_store_url": f"s3://{self.name}/hopline",
            "s3_endpoint": self.server,
            "s3_access_key_id": "key",
            "s3_secret_access_key": "secret",
        }


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The URL of a server that keeps its objects in memory."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_bucket(s3_server: str) -> Bucket:
    """A new bucket."""
    name = f"bucket-{uuid4().hex}"
    httpx.put(f"{s3_server}/{name}").raise_for_status()
    return Bucket(name=name, server=s3_server)
