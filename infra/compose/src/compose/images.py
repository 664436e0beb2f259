"""`make images`: build the images and show how large they are."""

import time
from collections.abc import Sequence

from compose.engine import Engine
from compose.errors import ComposeError
from embedded.stack import ROOT

MEBIBYTE = 1024 * 1024
TARGET_MIB = 250
"""What an image should stay below: a slim Python base of 125 MiB, 10 for its bytecode, 97 of packages, and ours."""


def build(engine: Engine, names: Sequence[str]) -> list[tuple[str, float]]:
    """Build the images of these services (none named: of all); give each image with its size in MiB."""
    engine.check()
    built = {name: service["image"] for name, service in engine.services().items() if "build" in service}
    if unknown := set(names) - set(built):
        raise ComposeError(f"no image of {', '.join(sorted(unknown))}: there are {', '.join(built)}")
    began = time.monotonic()
    wanted = [built[name] for name in names or built]
    engine.run("build", "--quiet", *(names or built))
    print(f"built from {ROOT} in {time.monotonic() - began:.1f} s")
    sizes = engine.image_sizes(wanted)
    return [(image, sizes[image] / MEBIBYTE) for image in wanted if image in sizes]
