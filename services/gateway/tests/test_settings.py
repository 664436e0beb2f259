"""Settings that the gateway rejects at its start."""

import pytest
from pydantic import ValidationError

from gateway.settings import Settings

REQUIRED = {
    **dict.fromkeys(("users_url", "orders_url", "notifications_url", "jwks_url"), "http://localhost"),
    "redis_url": "redis://localhost",
}


class TestHostsAndOrigins:
    @pytest.mark.parametrize(
        "host", ["*", "shop.example:8000", "https://shop.example", "shop.example/", "*shop.example"]
    )
    def test_host_is_rejected_when_it_can_match_no_request(self, host: str) -> None:
        with pytest.raises(ValidationError, match="matches no request"):
            Settings.model_validate({**REQUIRED, "allowed_hosts": f"localhost,{host}"})

    @pytest.mark.parametrize(
        "origin",
        [
            "shop.example",
            "https://shop.example/",
            "https://Shop.example",
            "https://shop.example:443",
            "http://shop.example:80",
        ],
    )
    def test_origin_is_rejected_when_it_can_match_no_request(self, origin: str) -> None:
        with pytest.raises(ValidationError, match="matches no request"):
            Settings.model_validate({**REQUIRED, "cors_origins": f"https://other.example,{origin}"})

    def test_values_are_accepted_when_they_can_match_a_request(self) -> None:
        hosts = "shop.example, *.hopline.example, my_host, [2001:db8::1]"
        origins = (
            "*, http://localhost:5173, https://shop.example, https://shop.example:8443, app://shop, http://[::1]:8080"
        )
        settings = Settings.model_validate({**REQUIRED, "allowed_hosts": hosts, "cors_origins": origins})
        assert ", ".join(settings.allowed_hosts) == hosts
        assert ", ".join(settings.cors_origins) == origins
