"""Each mistake in a small application with the configuration of the browser application is found."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from checks import browser
from checks.browser import ASSETS, SOURCE
from checks.programs import Program
from testkit.checkout import Checkout

Has = Callable[[Program], None]

CONFIGURATION = ("package.json", "tsconfig.json", "vite.config.ts", "eslint.config.js", "index.html")
MAIN = 'export const title = "Hopline";\ndocument.title = title;\n'


@pytest.fixture
def application(root: Path, tmp_path: Path, has: Has) -> Checkout:
    for program in (browser.TSC, browser.ESLINT, browser.VITEST, browser.VITE):
        has(program)
    checkout = Checkout.of(root, [str(SOURCE / name) for name in CONFIGURATION], into=tmp_path)
    (checkout.root / SOURCE / "node_modules").symlink_to(root / SOURCE / "node_modules")
    checkout.write(f"{SOURCE}/src/main.tsx", MAIN)
    return checkout


def test_type_error_is_found(application: Checkout) -> None:
    assert list(browser.types(application.root)) == []
    application.write(f"{SOURCE}/src/wrong.ts", "export const count: number = 'one';\n")
    (finding,) = browser.types(application.root)
    assert finding.place == f"{SOURCE}/src/wrong.ts:1"
    assert "not assignable" in finding.wrong


def test_lint_error_is_found(application: Checkout) -> None:
    assert list(browser.lint(application.root)) == []
    application.write(f"{SOURCE}/src/wrong.ts", "export function same(a: string) {\n  return a == '1';\n}\n")
    (finding,) = browser.lint(application.root)
    assert finding.place == f"{SOURCE}/src/wrong.ts:2"
    assert "eqeqeq" in finding.fix


def test_failing_unit_test_is_found(application: Checkout) -> None:
    test = 'import {{ expect, test }} from "vitest";\ntest("sum", () => {{ expect(1 + 1).toBe({}); }});\n'
    application.write(f"{SOURCE}/src/sum.test.ts", test.format(2))
    assert list(browser.unit_tests(application.root)) == []
    application.write(f"{SOURCE}/src/sum.test.ts", test.format(3))
    (finding,) = browser.unit_tests(application.root)
    assert finding.place == f"{SOURCE}/src/sum.test.ts"
    assert finding.wrong.startswith("sum: AssertionError")
    application.write(f"{SOURCE}/src/sum.test.ts", "throw new Error('broken');\n")
    (finding,) = browser.unit_tests(application.root)
    assert "broken" in finding.wrong


def test_assets_of_another_source_are_found(application: Checkout) -> None:
    committed = application.root / ASSETS
    built = browser.VITE.run("build", "--outDir", str(committed), cwd=application.root / SOURCE)
    assert built.returncode == 0, built.stderr
    assert list(browser.assets(application.root)) == []
    application.write(f"{SOURCE}/src/main.tsx", MAIN.replace("Hopline", "Another"))
    script, page = committed.glob("assets/*.js"), committed / "index.html"
    places = {finding.place for finding in browser.assets(application.root)}
    assert {f"{ASSETS}/assets/{next(script).name}", f"{ASSETS}/{page.name}"} < places


def test_assets_above_the_limit_are_found(application: Checkout) -> None:
    noise = random.Random(1).randbytes(browser.MAX_GZIP_BYTES).hex()  # noqa: S311 - cannot be compressed below its bytes
    application.write(f"{SOURCE}/src/main.tsx", f'document.title = "{noise}";\n')
    findings = [finding.wrong for finding in browser.assets(application.root)]
    assert any("exceed the limit of 150,000" in wrong for wrong in findings)
