"""The start of a process whose REDIS_URL has an invalid option."""

import pytest

from shared.config import ConfigurationError, RedisSettings
from shared.db.redis import open_redis


@pytest.mark.parametrize("option", ["timeout=3", "ssl_cert_reqs=none", "socket_timeout=long"])
async def test_start_fails_with_the_option_when_redis_py_rejects_it(option: str) -> None:
    """The options `ssl_` belong to `rediss://` URLs."""
    settings = RedisSettings(redis_url=f"redis://127.0.0.1:1/0?{option}")
    with pytest.raises(ConfigurationError, match=rf"^REDIS_URL: .*{option.partition('=')[0]}"):
        async with open_redis(settings):
            pass
