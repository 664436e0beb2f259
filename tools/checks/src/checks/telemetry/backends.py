"""The telemetry backends in Compose and kind: options, memory limits and versions."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from checks.containers.compose_files import default, mebibytes, services
from checks.findings import Finding

COMPOSE = "infra/compose"
STORES = Path("infra/k8s/components/development-stores/stores")
TELEMETRY = Path("infra/k8s/components/development-telemetry/backends")
JAEGER = {Path("infra/jaeger/config.yaml"): (COMPOSE, str(STORES)), STORES / "jaeger-config.yaml": (str(STORES),)}
"""Jaeger's configurations, each with the folders of the manifests whose Jaeger reads it. In kind, Jaeger reads its own
configuration, or that of Compose in the overlay kind-telemetry."""
JAEGER_UI = Path("infra/jaeger/ui.js")
JAEGER_UI_FILES = {"/etc/jaeger/ui.js": JAEGER_UI, "/etc/jaeger/ui.json": STORES / "jaeger-ui.json"}
"""The files with settings of Jaeger's pages, by their paths in the container."""
LOKI = Path("infra/loki/config.yaml")

GO_IMAGES = ("otel/", "jaegertracing/", "grafana/", "prom/", "axllent/")
GO_SHARE = (0.70, 0.92)
"""Minimum and maximum ratio of GOMEMLIMIT to the memory limit. Near GOMEMLIMIT, the garbage collector runs more often,
so that the process stays below the memory limit. The kernel kills it at that limit."""

JAEGER_BASE_MIB = 20
JAEGER_TRACE_KIB = 60
"""Go memory of Jaeger 2.20 without traces, and the heap per trace of an order (29 spans, 18 KB as OTLP); measured with
up to 4,000 traces. The process has another 58 MiB of pages of its program file, which the kernel can evict."""
JAEGER_SHARE = 0.75
"""Maximum share of GOMEMLIMIT for the base and the traces together. The rest is for garbage and for searches, which
need 0.2 MiB per trace found."""

JAEGER_MAX_RESULTS = 200
"""Maximum number of results of a search. Jaeger's default, 1,500, would need more memory than any container has."""

LOKI_CACHES_MB = 32
"""Maximum size of Loki's caches together, in a container with 144 MiB."""
LOKI_DEFAULT_CACHE_MB = 100
"""Loki's default for each cache."""

PROMETHEUS_OPTIONS = {
    "--enable-feature=created-timestamp-zero-ingestion": "the first value of a counter does not count as an increase",
    "--enable-feature=exemplar-storage": "it drops exemplars",
}
"""Required options, and the problem without each of them."""
GRAFANA_BELOW = (13, 2)
"""The first version whose data sources are plugins that Grafana downloads."""


@dataclass(frozen=True, slots=True)
class Process:
    """A container of Compose or kind: its image, environment, command, and memory limit in MiB (0 if it has none)."""

    place: str
    image: str
    environment: Mapping[str, str]
    command: list[str]
    memory: float


def check(root: Path) -> Iterator[Finding]:
    """Check every backend, in Compose and in the components that kind uses."""
    found = processes(root)
    for process in found:
        yield from _check_go_memory(process)
        name = process.image.partition(":")[0]
        if name == "jaegertracing/jaeger" and process.environment.get("OTEL_TRACES_SAMPLER") != "always_off":
            yield Finding(process.place, "Jaeger exports its own spans", "set OTEL_TRACES_SAMPLER: always_off")
        for option, problem in PROMETHEUS_OPTIONS.items() if name == "prom/prometheus" else ():
            if option not in process.command:
                yield Finding(process.place, problem, f"add {option}")
        if name == "grafana/grafana" and _version(process.image) >= GRAFANA_BELOW:
            below = ".".join(map(str, GRAFANA_BELOW))
            yield Finding(process.place, "it must download its data sources as plugins", f"stay below {below}")
    for file, folders in JAEGER.items():
        yield from _check_jaeger_memory(root, file, [process for process in found if process.place.startswith(folders)])
    yield from _check_jaeger_ui(root)
    yield from _check_loki(root)


def processes(root: Path) -> list[Process]:
    """Return the containers of Compose and of the components that kind uses."""
    return [*_compose_processes(root), *_kubernetes_processes(root)]


def _check_go_memory(process: Process) -> Iterator[Finding]:
    if not process.image.startswith(GO_IMAGES) or not process.memory:
        return
    share = mebibytes(process.environment.get("GOMEMLIMIT", "0")) / process.memory
    minimum, maximum = GO_SHARE
    if not minimum <= share <= maximum:
        yield Finding(
            process.place,
            f"GOMEMLIMIT is {share:.0%} of its memory limit",
            f"set {minimum:.0%} to {maximum:.0%} of {process.memory:.0f} MiB",
        )


def _check_jaeger_memory(root: Path, file: Path, processes: list[Process]) -> Iterator[Finding]:
    """Check that searches are limited and stored traces leave room for them. Otherwise the kernel kills Jaeger."""
    extensions = _read(root / file)["extensions"]
    ui = JAEGER_UI_FILES.get(extensions["jaeger_query"].get("ui", {}).get("config_file", ""))
    limit = re.search(r"maxLimit\"?: (\d+)", (root / ui).read_text(encoding="utf-8")) if ui else None
    if limit is None or int(limit[1]) > JAEGER_MAX_RESULTS:
        yield Finding(
            str(ui or file), "a search may need more memory than Jaeger has", f"set maxLimit: {JAEGER_MAX_RESULTS}"
        )
    backends = extensions["jaeger_storage"]["backends"].values()
    kept = sum(backend["memory"]["max_traces"] for backend in backends if "memory" in backend)
    needed = JAEGER_BASE_MIB + kept * JAEGER_TRACE_KIB / 1024
    for process in processes:
        memory = mebibytes(process.environment.get("GOMEMLIMIT", "0"))
        if process.image.startswith("jaegertracing/") and needed > JAEGER_SHARE * memory:
            yield Finding(
                f"{file} max_traces",
                f"{kept} traces need {needed:.0f} MiB, over {JAEGER_SHARE:.0%} of GOMEMLIMIT of {process.place}",
                "keep fewer traces, or give Jaeger more memory",
            )


def _check_jaeger_ui(root: Path) -> Iterator[Finding]:
    script = (root / JAEGER_UI).read_text(encoding="utf-8")
    if "$" in script:  # the whole file is the replacement text of a regular expression
        yield Finding(str(JAEGER_UI), "Jaeger removes text after a dollar sign", "join the strings by +")
    if re.search(r"localhost|127\.0\.0\.1|:3000", script):
        yield Finding(str(JAEGER_UI), "a link has a fixed port", "compute it from the port of the page")
    if re.search(r"now-\d", script):
        yield Finding(str(JAEGER_UI), "a link uses the current time", "use the time of the trace")


def _check_loki(root: Path) -> Iterator[Finding]:
    content = _read(root / LOKI)
    caches = {
        "chunk_store_config.chunk_cache_config": content.get("chunk_store_config", {}).get("chunk_cache_config", {}),
        "query_range.results_cache.cache": content.get("query_range", {}).get("results_cache", {}).get("cache", {}),
    }
    sizes = {
        name: cache.get("embedded_cache", {}).get("max_size_mb", LOKI_DEFAULT_CACHE_MB)
        for name, cache in caches.items()
    }
    if sum(sizes.values()) > LOKI_CACHES_MB:
        largest = max(sizes, key=lambda name: sizes[name])
        problem = f"its caches may use {sum(sizes.values())} MB, {largest} {sizes[largest]} of them"
        yield Finding(str(LOKI), problem, f"set embedded_cache.max_size_mb, {LOKI_CACHES_MB} in total")
    if content["ingester"].get("lifecycler", {}).get("min_ready_duration") != "0s":
        yield Finding(str(LOKI), "it becomes ready 15 s late", "set ingester.lifecycler.min_ready_duration: 0s")
    if content.get("tracing", {}).get("enabled") is not False:
        yield Finding(str(LOKI), "it records its own spans", "set tracing.enabled: false")


def _compose_processes(root: Path) -> Iterator[Process]:
    for service in services(root):
        command = service.definition.get("command", [])
        yield Process(
            place=service.place,
            image=default(service.definition.get("image", "")),
            environment={name: default(value) for name, value in (service.definition.get("environment") or {}).items()},
            command=[str(part) for part in command] if isinstance(command, list) else [str(command)],
            memory=mebibytes(default(service.limits.get("memory", ""))),
        )


def _kubernetes_processes(root: Path) -> Iterator[Process]:
    for file in (file for folder in (STORES, TELEMETRY) for file in sorted((root / folder).glob("*.yaml"))):
        for manifest in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            if manifest and manifest.get("kind") in {"Deployment", "StatefulSet"}:
                for container in manifest["spec"]["template"]["spec"]["containers"]:
                    yield Process(
                        place=f"{file.relative_to(root)} {container['name']}",
                        image=container["image"],
                        environment={
                            variable["name"]: str(variable.get("value", "")) for variable in container.get("env", [])
                        },
                        command=[*container.get("command", []), *container.get("args", [])],
                        memory=mebibytes(container.get("resources", {}).get("limits", {}).get("memory", "")),
                    )


def _version(image: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", image.partition(":")[2])[:2])


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content
