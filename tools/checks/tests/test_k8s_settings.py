"""Each variable in a manifest is a setting of the process, with a valid value."""

import json
import os
from collections.abc import Callable

import pytest

import gateway.settings
import notifications.settings
import orders.settings
import users.settings
import workers.settings
from checks.kubernetes.manifests import Rendering
from checks.kubernetes.settings import UNKNOWN, environment
from shared.config import DEVELOPMENT_ONLY, Environment, GunicornSettings, ServiceSettings

pytestmark = pytest.mark.xdist_group("k8s")

Render = Callable[..., Rendering]

SETTINGS: dict[str, type[ServiceSettings]] = {
    "gateway": gateway.settings.Settings,
    "users": users.settings.Settings,
    "orders": orders.settings.Settings,
    "notifications": notifications.settings.Settings,
    "workers": workers.settings.Settings,
    "report-workers": workers.settings.ReportSettings,
}
NOT_SETTINGS = {"MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "PGSSLMODE", "NODE_NAME", "OTEL_RESOURCE_ATTRIBUTES"}
"""Variables that the C library, asyncpg, the manifest itself and OpenTelemetry's SDK read."""


def get_settings(overlay: Rendering, name: str) -> dict[str, str]:
    (workload,) = [workload for workload in overlay.workloads if workload.name == f"hopline-{name}"]
    return environment(overlay, workload, workload.pod["containers"][0])


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("overlay_name", ["kind", "prod"])
def test_process_accepts_the_settings_of_its_manifest(
    rendered: Render, monkeypatch: pytest.MonkeyPatch, overlay_name: str, name: str
) -> None:
    overlay, development = rendered(overlay_name), get_settings(rendered("kind"), name)
    variables = {
        variable: development[variable].replace(DEVELOPMENT_ONLY, "of-the-secret-store") if value == UNKNOWN else value
        for variable, value in get_settings(overlay, name).items()
        if not variable.endswith("_FILE")
    }  # a secret of production has the format of the development secret
    for variable in os.environ:
        monkeypatch.delenv(variable)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    settings = SETTINGS[name]()
    expected = {"kind": Environment.DEVELOPMENT, "prod": Environment.PRODUCTION}[overlay_name]
    assert settings.environment is expected
    assert settings.otel_exporter_otlp_endpoint
    known = {field.upper() for field in SETTINGS[name].model_fields}
    known |= {field.upper() for field in GunicornSettings.model_fields}
    assert variables.keys() - NOT_SETTINGS <= known, "a variable that the process does not read"


def test_process_reads_client_addresses_from_the_proxy_when_requests_come_through_it(rendered: Render) -> None:
    """Without a trusted proxy, all clients would share one address and its limits."""
    overlay = rendered("prod")
    routes = json.dumps([route.body for route in overlay.of("HTTPRoute")])
    entered = [name for name in SETTINGS if f'"hopline-{name}"' in routes]
    assert entered == ["gateway", "notifications"]
    assert all(get_settings(overlay, name).get("FORWARDED_ALLOW_IPS") for name in entered)
