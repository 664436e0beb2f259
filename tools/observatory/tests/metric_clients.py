"""Send metrics to an observatory and read them."""

from typing import Any

import httpx
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from testkit.observatory import Observatory

PROTOBUF = "application/x-protobuf"


def query_metric(observatory: Observatory, query: str) -> dict[str, float]:
    """Evaluate an expression now, and return each value by its labels, as text without name and resource labels."""
    response = observatory.get("prometheus", "/api/v1/query", query=query)
    assert response.status_code == 200, response.text
    result = response.json()["data"]["result"]
    return {_format_labels(item["metric"]): float(item["value"][1]) for item in result}


def _format_labels(labels: dict[str, str]) -> str:
    hidden = {"__name__", "job", "instance", "service_name", "service_namespace"}
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()) if name not in hidden)


def get_store_status(observatory: Observatory) -> dict[str, Any]:
    """Return the sizes, limits and counters of the metric store."""
    status: dict[str, Any] = observatory.get("prometheus", "/observatory/metrics").json()["kept"]
    return status


def build_export(*metrics: Metric) -> ExportMetricsServiceRequest:
    """Build the export of one process of orders."""
    request = ExportMetricsServiceRequest()
    resource_metrics = request.resource_metrics.add()
    resource_metrics.resource.attributes.add(key="service.name").value.string_value = "orders"
    resource_metrics.scope_metrics.add().metrics.extend(metrics)
    return request


def post_export(observatory: Observatory, request: ExportMetricsServiceRequest) -> ExportMetricsServiceResponse:
    """Send the export, and return the response, which has the number of rejected points."""
    response = httpx.post(
        observatory.url("otlp", "/v1/metrics"),
        content=request.SerializeToString(),
        headers={"content-type": PROTOBUF},
        timeout=30,
    )
    assert response.status_code == 200, response.content
    return ExportMetricsServiceResponse.FromString(response.content)
