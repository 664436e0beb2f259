"""Hopline's rules for the Compose files: hardening, limits, health checks, images, published ports and references."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from checks.containers.compose_files import Service, declared, default, mebibytes, names, services
from checks.findings import Finding

MAX_TOTAL_MIB = 2048
"""Maximum sum of the memory limits of services without a profile, which docs/deploy.md states."""
MAX_PROFILE_MIB = 128
"""Maximum sum of the memory limits of each profile."""
SCALABLE = {"users", "orders", "notifications", "worker", "report-worker"}
WITHOUT_HEALTHCHECK = "x-no-healthcheck"
OURS = "hopline/"


def check(root: Path) -> Iterator[Finding]:
    """Check each service, then the rules about all services."""
    found = services(root)
    for service in found:
        for rule in (
            _check_hardening,
            _check_limits,
            _check_health,
            _check_image,
            _check_ports,
            _check_scalability,
            _check_environment,
        ):
            yield from rule(service)
    yield from _check_references(root, found)
    yield from _check_host_names(found)
    yield from _check_sum_of_limits(found)


def _check_hardening(service: Service) -> Iterator[Finding]:
    wanted: dict[str, Any] = {"read_only": True, "init": True, "cap_drop": ["ALL"]}
    fix = "extend `process` of hardened.yaml"
    for key, value in wanted.items():
        if service.definition.get(key) != value:
            yield Finding(service.place, f"{key} is not {value}", fix)
    if "no-new-privileges:true" not in service.definition.get("security_opt", []):
        yield Finding(service.place, "it may gain privileges", fix)
    if service.definition.get("privileged") or service.definition.get("cap_add"):
        yield Finding(service.place, "it has privileges on the host", "remove `privileged` and `cap_add`")
    user = str(service.definition.get("user", ""))
    if not _is_ours(service) and (not re.fullmatch(r"\d+:\d+", user) or user.startswith("0:")):
        yield Finding(service.place, f"its user is {user or 'not named'}", "name a user and group by number, not 0")


def _check_limits(service: Service) -> Iterator[Finding]:
    for what in ("memory", "cpus", "pids"):
        if what not in service.limits:
            yield Finding(service.place, f"{what} is not limited", f"set deploy.resources.limits.{what}")


def _check_health(service: Service) -> Iterator[Finding]:
    health = service.definition.get("healthcheck", {})
    if service.is_one_shot or (health.get("disable") and service.definition.get(WITHOUT_HEALTHCHECK)):
        return
    if not health.get("test"):
        fix = f"add a test, or disable it and add it to {WITHOUT_HEALTHCHECK}"
        yield Finding(service.place, "it has no health check", fix)
    if "curl" in str(health.get("test")):
        yield Finding(service.place, "its healthcheck needs curl", "use a program of the image")


def _check_image(service: Service) -> Iterator[Finding]:
    image = default(service.definition.get("image", ""))
    tag = image.rpartition("/")[2].partition(":")[2]
    if not re.search(r"\d", tag) and not _is_ours(service):
        yield Finding(service.place, f"its image {image or '(none)'} has no version", "pin it by the tag of a version")
    if _is_ours(service) and not tag:
        yield Finding(service.place, f"its image {image} has no tag", "end it with ${VERSION:-dev}")


def _check_ports(service: Service) -> Iterator[Finding]:
    for port in service.definition.get("ports", []):
        address = str(port.get("host_ip", "")) if isinstance(port, dict) else default(port)
        if not address.startswith("127.0.0.1"):
            yield Finding(service.place, f"port {default(port)} is open to the network", "publish it on 127.0.0.1")
    if service.definition.get("network_mode") == "host":
        yield Finding(service.place, "it uses the host's network", "use networks of the project")


def _check_scalability(service: Service) -> Iterator[Finding]:
    if service.name in SCALABLE:
        for key in ("container_name", "ports", "hostname"):
            if key in service.definition:
                yield Finding(service.place, f"{key} allows only one replica", "remove it: this service is scaled")


def _check_environment(service: Service) -> Iterator[Finding]:
    environment = service.definition.get("environment", {})
    for name, value in environment.items() if isinstance(environment, dict) else []:
        if re.search(r"PASSWORD|SECRET|SIGNING_KEY|DATABASE_URL", name) and not name.endswith("_FILE"):
            yield Finding(
                service.place, f"{name} holds a secret", "pass it as a file: `secrets` and the name with _FILE"
            )
        if re.search(r"://[^/@\s]+:[^/@\s]+@", str(value)):
            yield Finding(service.place, f"{name} has a password in its URL", "pass it as a file")


def _check_host_names(found: list[Service]) -> Iterator[Finding]:
    """Check that all containers have the same host.name. Jaeger corrects clocks between hosts, but they share one."""
    names: dict[str, str] = {}
    for service in found:
        environment = service.definition.get("environment", {})
        if "OTEL_EXPORTER_OTLP_ENDPOINT" in environment:
            attributes = default(environment.get("OTEL_RESOURCE_ATTRIBUTES", ""))
            names[service.place] = next(
                (
                    value
                    for name, _, value in (pair.partition("=") for pair in attributes.split(","))
                    if name == "host.name"
                ),
                "",
            )
    expected = next(iter(names.values()), "")
    for source, name in names.items():
        if not name or name != expected:
            yield Finding(source, f"its host.name is {name or 'that of the container'}", "use one name for all")


def _check_references(root: Path, found: list[Service]) -> Iterator[Finding]:
    """Check that named services, networks and secrets exist, and that each network and secret is used."""
    known = {service.name: service for service in found}
    used: dict[str, set[str]] = {"networks": set(), "secrets": set()}
    for service in found:
        for other, how in service.definition.get("depends_on", {}).items():
            target = known.get(other)
            if target is None:
                yield Finding(service.place, f"it depends on {other}", f"name one of {', '.join(sorted(known))}")
            elif target.is_one_shot and how.get("condition") != "service_completed_successfully":
                yield Finding(
                    service.place,
                    f"it does not wait until {other} has ended",
                    "set condition: service_completed_successfully",
                )
        for kind in used:
            own = set(names(service.definition.get(kind)))
            used[kind] |= own
            for name in own - declared(root, kind):
                yield Finding(service.place, f"{kind} has no {name}", f"declare it below `{kind}:`")
    for kind, used_names in used.items():
        for name in declared(root, kind) - used_names:
            yield Finding(f"infra/compose {name}", f"no service uses this entry of {kind}", "remove it")


def _check_sum_of_limits(found: list[Service]) -> Iterator[Finding]:
    running = [service for service in found if not service.is_one_shot]
    bounds = {"": MAX_TOTAL_MIB, **{profile: MAX_PROFILE_MIB for service in running for profile in service.profiles}}
    for profile, maximum in bounds.items():
        total = sum(
            mebibytes(default(service.limits.get("memory", "")))
            for service in running
            if profile in (service.profiles or ("",))
        )
        if total > maximum:
            subject = f"the memory limits of profile {profile}" if profile else "the memory limits"
            yield Finding(
                "infra/compose", f"{subject} add up to {total:.0f} MiB", f"allow at most {maximum} MiB in total"
            )


def _is_ours(service: Service) -> bool:
    return default(service.definition.get("image", "")).startswith(OURS)
