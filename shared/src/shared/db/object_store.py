"""The object store: a local folder or a server with the S3 API, accessed with obstore."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from shared.config import ConfigurationError, ObjectStoreSettings

if TYPE_CHECKING:  # obstore defines it for type checkers only
    from obstore.store import S3Config

ObjectStore = LocalStore | S3Store

OBJECT_STORE_ERRORS = (BaseError, OSError)
"""Errors of an object store. A missing object is a FileNotFoundError, which is an OSError."""

CONNECT_TIMEOUT = "2s"
RESPONSE_TIMEOUT = "30s"
RETRIES = 2
RETRY_TIMEOUT = timedelta(seconds=5)
"""The limits of the retries. obstore's defaults, 10 retries within 3 minutes, would exceed every deadline."""


def open_object_store(settings: ObjectStoreSettings) -> ObjectStore:
    """Return the store of the settings. A missing folder is created. An S3 server is not called yet.

    Raises:
        ConfigurationError: The folder cannot be created.
    """
    url = urlsplit(settings.object_store_url)
    if url.scheme == "s3":
        return _s3(settings, bucket=url.netloc, prefix=url.path.strip("/"))
    try:
        return LocalStore(Path(unquote(url.path)), mkdir=True)
    except OBJECT_STORE_ERRORS as error:
        reason = str(error).partition("\n")[0]
        raise ConfigurationError(f"OBJECT_STORE_URL: cannot use {url.path}: {reason}") from error


def _s3(settings: ObjectStoreSettings, *, bucket: str, prefix: str) -> S3Store:
    config: S3Config = {"region": settings.s3_region}
    if settings.s3_endpoint:
        config["endpoint"] = str(settings.s3_endpoint).rstrip("/")
    if settings.s3_access_key_id:
        config["access_key_id"] = settings.s3_access_key_id
        config["secret_access_key"] = settings.s3_secret_access_key.get_secret_value()
    return S3Store(
        bucket,
        prefix=prefix or None,
        config=config,
        client_options={"allow_http": True, "connect_timeout": CONNECT_TIMEOUT, "timeout": RESPONSE_TIMEOUT},
        retry_config={"max_retries": RETRIES, "retry_timeout": RETRY_TIMEOUT},
    )


def temporary_key(key: str) -> str:
    """Return the key to write to before a rename to `key`, so that no reader of `key` gets an incomplete object."""
    return f"{key}.part"


async def ping(store: ObjectStore) -> None:
    """Raise if the store does not respond. The request lists the top level, which contains one folder."""
    await obstore.list_with_delimiter_async(store)
