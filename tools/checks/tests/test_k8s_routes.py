"""The timeouts of the Gateway API's routes match those of the gateway behind them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from checks.kubernetes.manifests import Object, Rendering
from gateway.settings import Settings

pytestmark = pytest.mark.xdist_group("k8s")

Render = Callable[..., Rendering]

DOCUMENT = "services/gateway/src/gateway/documents/v2.json"


@pytest.fixture
def rules(rendered: Render) -> list[Object]:
    return list(rendered("prod").get("HTTPRoute", "hopline").spec["rules"])


def timeout_of(rules: list[Object], path: str) -> str:
    """Return the timeout of the rule with the longest prefix of the path, which the Gateway API selects."""
    prefixes = {
        match["path"]["value"].rstrip("/"): rule["timeouts"]["request"]
        for rule in rules
        for match in rule["matches"]
        if match["path"]["type"] == "PathPrefix"
    }
    return str(prefixes[max((p for p in prefixes if path == p or path.startswith(f"{p}/")), key=len)])


@pytest.mark.parametrize("version", ["/v2", ""])
def test_download_has_no_timeout_when_its_client_reads_slowly(rules: list[Object], root: Path, version: str) -> None:
    paths = json.loads((root / DOCUMENT).read_text(encoding="utf-8"))["paths"]
    downloads = [path for path in paths if path.endswith("/download")]
    assert downloads
    assert {timeout_of(rules, f"{version}{path}") for path in downloads} == {"0s"}


@pytest.mark.parametrize("path", ["/v2/dashboard", "/v2/reportsx", "/"])
def test_timeout_is_longer_than_that_of_the_gateway_when_the_response_is_short(rules: list[Object], path: str) -> None:
    limit = Settings.model_fields["request_seconds"].default
    assert float(timeout_of(rules, path).removesuffix("s")) > limit
