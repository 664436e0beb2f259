"""Validators of shell scripts, YAML and package sources."""

from collections.abc import Callable
from pathlib import Path

import pytest

from checks.files import SHELLCHECK, YAMLLINT, check_package_sources, check_shell_scripts, check_yaml_style
from checks.programs import Program
from testkit.checkout import Checkout

Require = Callable[[Program], None]


def test_repository_has_no_findings(root: Path, require: Require) -> None:
    require(SHELLCHECK)
    require(YAMLLINT)
    assert not [*check_shell_scripts(root), *check_yaml_style(root), *check_package_sources(root)]


def test_mistake_in_a_shell_script_is_found(checkout: Checkout, require: Require) -> None:
    require(SHELLCHECK)
    checkout.write("deploy", "#!/usr/bin/env bash\nrm -r $HOME/$1\n")
    assert {finding.place.rsplit(":", 1)[0] for finding in check_shell_scripts(checkout.root)} == {"deploy:2"}


def test_badly_formatted_yaml_is_found(checkout: Checkout, require: Require) -> None:
    require(YAMLLINT)
    checkout.write("infra/new.yaml", "a:  1\na: 2\n")
    found = list(check_yaml_style(checkout.root))
    assert {finding.place for finding in found} == {"infra/new.yaml:1:4", "infra/new.yaml:2:1"}


def test_configuration_of_yamllint_is_found_when_it_is_invalid(checkout: Checkout, require: Require) -> None:
    require(YAMLLINT)
    checkout.write(".yamllint.yaml", "rules: { unknown: enable }\n")
    [finding] = check_yaml_style(checkout.root)
    assert finding.problem == 'yamllint failed: invalid config: no such rule: "unknown"'


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
def test_name_of_a_package_index_is_found(checkout: Checkout, file: str, text: str) -> None:
    checkout.write(file, text)
    assert [finding.place.rsplit(":", 1)[0] for finding in check_package_sources(checkout.root)] == [file]


def test_address_in_a_lock_is_found_when_it_is_not_a_donation_link(checkout: Checkout) -> None:
    lock = '{\n"funding": [\n{"url": "https://sponsors.example"}\n],\n"resolved": "https://packages.example/a.tgz"\n}\n'
    checkout.write("web/package-lock.json", lock)
    assert [finding.place for finding in check_package_sources(checkout.root)] == ["web/package-lock.json:5"]
