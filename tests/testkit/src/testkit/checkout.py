"""A copy of files of the repository, in which tests make mistakes that a check must find."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Checkout:
    """The copy. Paths are relative to its root, as in the repository."""

    root: Path

    @classmethod
    def of(cls, repository: Path, names: Iterable[str], *, into: Path) -> "Checkout":
        """Copy these files and folders. Subfolders with the names `src` and `tests` are not copied."""
        for name in names:
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            if (repository / name).is_dir():
                shutil.copytree(repository / name, into / name, ignore=shutil.ignore_patterns("src", "tests"))
            else:
                shutil.copy(repository / name, into / name)
        return cls(into)

    def corrupt(self, file: str, right: str, wrong: str) -> None:
        """Replace the first occurrence of `right` in the file by `wrong`. Fail if the file does not contain `right`."""
        text = (self.root / file).read_text(encoding="utf-8")
        assert right in text, f"{file} does not contain {right!r}"
        self.write(file, text.replace(right, wrong, 1))

    def write(self, file: str, text: str) -> None:
        """Write a file, and create missing folders."""
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
