"""Every row of the matrix is tried or held by tests that are there, and the command says so."""

import ast
import io
from pathlib import Path

import orjson
import pytest
from rich.console import Console

from chaos import report
from chaos.__main__ import main
from chaos.history import History
from chaos.matrix import CALM, MATRIX
from chaos.report import keep
from chaos.trial import Result

ROOT = Path(__file__).parents[3]
NAMED = sorted({named for row in MATRIX for named in row.held_by})


class TestMatrix:
    def test_has_a_row_for_each_fault(self) -> None:
        assert [row.name for row in MATRIX] == [str(number) for number in range(1, 24)]
        assert all(row.nemesis or row.held_by for row in MATRIX)

    @pytest.mark.parametrize("named", NAMED)
    def test_tests_that_hold_a_row_are_there(self, named: str) -> None:
        file, _, name = named.partition("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert not name or name in {node.name for node in tree.body if isinstance(node, ast.ClassDef)}


class TestKeep:
    def test_leaves_the_whole_verdict_and_the_logs_of_the_broken_row(self, tmp_path: Path) -> None:
        logs = tmp_path / "stack" / "logs"
        logs.mkdir(parents=True)
        (logs / "orders.log").write_text("cut", encoding="utf-8")
        verdict = {"I1": [f"order lost: {number}" for number in range(100)], "I2": list[str]()}
        broken = Result(row=MATRIX[0], history=History(), verdict=verdict, healed_s=1.0)
        keep(tmp_path / "kept", [broken], logs=logs, row=broken.row)
        assert (tmp_path / "kept" / "logs-1" / "orders.log").read_text(encoding="utf-8") == "cut"
        assert orjson.loads((tmp_path / "kept" / "verdict.json").read_bytes()) == {"1": verdict}


def test_report_shows_what_broke_without_control_characters() -> None:
    out = io.StringIO()
    result = Result(row=CALM, history=History(), verdict={"I1": ["lost \x1b[2J[red]\u202e"]}, healed_s=1.0)
    report.show([result], [], Console(file=out, width=160))
    assert "lost \\u001b[2J[red]\\u202e" in out.getvalue()


class TestCommand:
    def test_a_row_that_does_not_exist_is_answered_by_those_that_do(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--row", "99"]) == 2
        assert capsys.readouterr().err.startswith("no row '99': there are 1, 2, ")

    def test_a_stack_that_is_not_its_own_is_left_alone(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOPLINE_GATEWAY_URL", "http://localhost:8000")
        assert main(["--row", "1"]) == 2
        assert "a stack of its own only" in capsys.readouterr().err

    def test_a_row_held_elsewhere_is_named_and_needs_no_stack(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--row", "16", "--seed", "5"]) == 0
        told = capsys.readouterr().out
        assert "SEED=5" in told
        assert "workers/tests/test_failures.py::TestLateJob" in told
