"""The validator of the browser application, applied to a small application with the same configuration."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from checks import browser
from checks.browser import ASSETS, SOURCE
from checks.programs import Program
from testkit.checkout import Checkout

Require = Callable[[Program], None]

CONFIGURATION = ("package.json", "tsconfig.json", "vite.config.ts", "eslint.config.js", "index.html")
MAIN = 'export const title = "Hopline";\ndocument.title = title;\n'


UNIT_TEST = 'import {{ expect, test }} from "vitest";\ntest("sum", () => {{ expect(1 + 1).toBe({}); }});\n'


@pytest.fixture
def application(root: Path, tmp_path: Path, require: Require) -> Checkout:
    for program in (browser.TSC, browser.ESLINT, browser.VITEST, browser.VITE):
        require(program)
    checkout = Checkout.of(root, [str(SOURCE / name) for name in CONFIGURATION], into=tmp_path)
    (checkout.root / SOURCE / "node_modules").symlink_to(root / SOURCE / "node_modules")
    checkout.write(f"{SOURCE}/src/main.tsx", MAIN)
    return checkout


def test_type_error_is_found(application: Checkout) -> None:
    assert list(browser.check_types(application.root)) == []
    application.write(f"{SOURCE}/src/wrong.ts", "export const count: number = 'one';\n")
    (finding,) = browser.check_types(application.root)
    assert finding.place == f"{SOURCE}/src/wrong.ts:1"
    assert "not assignable" in finding.problem


def test_lint_error_is_found(application: Checkout) -> None:
    assert list(browser.check_lint(application.root)) == []
    application.write(f"{SOURCE}/src/wrong.ts", "export function same(a: string) {\n  return a == '1';\n}\n")
    (finding,) = browser.check_lint(application.root)
    assert finding.place == f"{SOURCE}/src/wrong.ts:2"
    assert "eqeqeq" in finding.fix


def test_failing_unit_test_is_found(application: Checkout) -> None:
    application.write(f"{SOURCE}/src/sum.test.ts", UNIT_TEST.format(2))
    assert list(browser.check_unit_tests(application.root)) == []
    application.write(f"{SOURCE}/src/sum.test.ts", UNIT_TEST.format(3))
    (finding,) = browser.check_unit_tests(application.root)
    assert finding.place == f"{SOURCE}/src/sum.test.ts"
    assert finding.problem.startswith("sum: AssertionError")


def test_file_of_unit_tests_is_found_when_it_cannot_be_run(application: Checkout) -> None:
    application.write(f"{SOURCE}/src/sum.test.ts", "throw new Error('broken');\n")
    (finding,) = browser.check_unit_tests(application.root)
    assert finding.place == f"{SOURCE}/src/sum.test.ts"
    assert "broken" in finding.problem


def test_assets_are_found_when_the_source_has_changed(application: Checkout) -> None:
    committed = application.root / ASSETS
    built = browser.VITE.run("build", "--outDir", str(committed), cwd=application.root / SOURCE)
    assert built.returncode == 0, built.stderr
    assert list(browser.check_assets(application.root)) == []
    application.write(f"{SOURCE}/src/main.tsx", MAIN.replace("Hopline", "Another"))
    (script,) = committed.glob("assets/*.js")
    places = {finding.place for finding in browser.check_assets(application.root)}
    assert {f"{ASSETS}/assets/{script.name}", f"{ASSETS}/index.html"} < places, "the new script is missing"


def test_assets_are_found_when_they_exceed_the_size_limit(application: Checkout) -> None:
    noise = random.Random(1).randbytes(browser.MAX_GZIP_BYTES).hex()  # noqa: S311 - no secret; random text, so that it exceeds the limit even after gzip
    application.write(f"{SOURCE}/src/main.tsx", f'document.title = "{noise}";\n')
    findings = [finding.problem for finding in browser.check_assets(application.root)]
    assert any(f"exceed the limit of {browser.MAX_GZIP_BYTES:,}" in problem for problem in findings)
