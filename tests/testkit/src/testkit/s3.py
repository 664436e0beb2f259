"""A real server with the S3 API in a thread of this process: moto's server, without its patches of boto3."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import httpx
import pytest


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """One bucket. `settings` are the settings of a process that uses it."""

    name: str
    server: str

    @property
    def settings(self) -> dict[str, str]:
        """Return the settings by the names of `shared.config.ObjectStoreSettings`."""
        return {
            "object_store_url": f"s3://{self.name}/hopline",
            "s3_endpoint": self.server,
            "s3_access_key_id": "key",
            "s3_secret_access_key": "secret",
        }


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Return the URL of a server that stores objects in memory."""
    from moto.server import ThreadedMotoServer  # few tests need the module, and its import is slow

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_bucket(s3_server: str) -> Bucket:
    """Create a bucket."""
    name = f"bucket-{uuid4().hex}"
    httpx.put(f"{s3_server}/{name}").raise_for_status()
    return Bucket(name=name, server=s3_server)
