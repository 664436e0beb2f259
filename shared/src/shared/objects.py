"""The object store by obstore: one interface over a local folder and every server that speaks S3.

What goes wrong comes as one of `AWAY`; an object that is not there as FileNotFoundError, which is an OSError as well.
"""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from shared.settings import ConfigurationError, ObjectStoreSettings

if TYPE_CHECKING:  # the only place where it exists
    from obstore.store import S3Config

ObjectStore = LocalStore | S3Store

AWAY = (BaseError, OSError)
"""The store does not answer, or refuses."""

CONNECT_TIMEOUT = "2s"
ANSWER_TIMEOUT = "30s"
RETRIES = 2
RETRIED_FOR = timedelta(seconds=5)
"""obstore's own ten tries in three minutes would outlast whoever waits for them."""


def open_object_store(settings: ObjectStoreSettings) -> ObjectStore:
    """The store that the settings name. A folder is made; an S3 server is first called at first use.

    Raises ConfigurationError where the folder cannot be made.
    """
    url = urlsplit(settings.object_store_url)
    if url.scheme == "s3":
        return _s3(settings, bucket=url.netloc, prefix=url.path.strip("/"))
    try:
        return LocalStore(Path(unquote(url.path)), mkdir=True)
    except AWAY as error:
        reason = str(error).partition("\n")[0]
        raise ConfigurationError(f"OBJECT_STORE_URL: {url.path} is not to be used: {reason}") from error


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
        client_options={"allow_http": True, "connect_timeout": CONNECT_TIMEOUT, "timeout": ANSWER_TIMEOUT},
        retry_config={"max_retries": RETRIES, "retry_timeout": RETRIED_FOR},
    )


def beside(key: str) -> str:
    """Where an object is written that is to lie at `key`: who reads there finds a whole one or none."""
    return f"{key}.part"


async def ping(store: ObjectStore) -> None:
    """Raise where the store does not answer. It lists what lies at its top, which is one folder."""
    await obstore.list_with_delimiter_async(store)
