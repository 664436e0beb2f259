"""`make images`: build the images and show how large they are."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from compose.engine import Engine
from compose.errors import ComposeError
from embedded.stack import ROOT

MEBIBYTE = 1024 * 1024
MAX_MIB = 230
"""Maximum size of an image: 125 MiB of a slim Python base, 10 of its bytecode, 75 of packages, and Hopline's code."""
WORKERS_MAX_MIB = 265
"""Maximum size of the workers' image: reports need 40 MiB more, half of it pillow, which reportlab requires."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A built image and its size in MiB."""

    name: str
    mebibytes: float

    @property
    def max_mebibytes(self) -> int:
        """Its maximum size in MiB."""
        return WORKERS_MAX_MIB if "/workers:" in f"/{self.name}" else MAX_MIB


def build(engine: Engine, names: Sequence[str]) -> list[Image]:
    """Build the images of these services, or of all services if `names` is empty; return each image once."""
    engine.check()
    built = {name: service["image"] for name, service in engine.services().items() if "build" in service}
    if unknown := set(names) - set(built):
        raise ComposeError(f"no image of {', '.join(sorted(unknown))}: expected one of {', '.join(built)}")
    began = time.monotonic()
    wanted = dict.fromkeys(built[name] for name in names or built)
    engine.run("build", "--quiet", *(names or built))
    print(f"built from {ROOT} in {time.monotonic() - began:.1f} s")
    sizes = engine.image_sizes(list(wanted))
    return [Image(name=image, mebibytes=sizes[image] / MEBIBYTE) for image in wanted if image in sizes]
