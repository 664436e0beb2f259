"""Validators of shell scripts, YAML and package sources."""

from collections.abc import Callable
from pathlib import Path

import pytest

from checks.files import SHELLCHECK, YAMLLINT, package_sources, shell_scripts, yaml_style
from checks.programs import Program
from testkit.checkout import Checkout

Has = Callable[[Program], None]


def test_repository_has_no_findings(root: Path, has: Has) -> None:
    has(SHELLCHECK)
    has(YAMLLINT)
    assert not [*shell_scripts(root), *yaml_style(root), *package_sources(root)]


def test_mistake_in_a_shell_script_is_found(checkout: Checkout, has: Has) -> None:
    has(SHELLCHECK)
    checkout.write("deploy", "#!/usr/bin/env bash\nrm -r $HOME/$1\n")
    assert {finding.place.rsplit(":", 1)[0] for finding in shell_scripts(checkout.root)} == {"deploy:2"}


def test_badly_formatted_yaml_is_found(checkout: Checkout, has: Has) -> None:
    has(YAMLLINT)
    checkout.write("infra/new.yaml", "a:  1\na: 2\n")
    found = list(yaml_style(checkout.root))
    assert {finding.place for finding in found} == {"infra/new.yaml:1:4", "infra/new.yaml:2:1"}


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("requirements/dev.txt", "--index-url https://packages.example/simple\n"),
        ("uv.lock", 'source = { registry = "https://packages.example/simple" }\n'),
        ("infra/docker/pip.conf", "[global]\nindex-url = x\n"),
        ("infra/compose/extra.yaml", "environment: { UV_DEFAULT_INDEX: x }\n"),
        (".npmrc", "registry=x\n"),
    ],
)
def test_package_index_is_found(checkout: Checkout, file: str, text: str) -> None:
    checkout.write(file, text)
    assert [finding.place.rsplit(":", 1)[0] for finding in package_sources(checkout.root)] == [file]


def test_addresses_of_sponsors_are_allowed_in_a_lock_but_those_of_packages_are_found(checkout: Checkout) -> None:
    lock = '{\n"funding": [\n{"url": "https://sponsors.example"}\n],\n"resolved": "https://packages.example/a.tgz"\n}\n'
    checkout.write("web/package-lock.json", lock)
    assert [finding.place for finding in package_sources(checkout.root)] == ["web/package-lock.json:5"]
