"""Each row of the matrix has a nemesis or names existing tests, and the command prints it."""

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
    def test_has_one_row_per_fault(self) -> None:
        assert [row.name for row in MATRIX] == [str(number) for number in range(1, 24)]
        assert all(row.nemesis or row.held_by for row in MATRIX)

    @pytest.mark.parametrize("named", NAMED)
    def test_named_tests_of_a_row_exist(self, named: str) -> None:
        file, _, name = named.partition("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert not name or name in {node.name for node in tree.body if isinstance(node, ast.ClassDef)}


class TestKeep:
    def test_saves_the_outcome_and_the_logs_of_the_failed_row(self, tmp_path: Path) -> None:
        logs = tmp_path / "stack" / "logs"
        logs.mkdir(parents=True)
        (logs / "orders.log").write_text("cut", encoding="utf-8")
        outcome = {"I1": [f"order lost: {number}" for number in range(100)], "I2": list[str]()}
        broken = Result(row=MATRIX[0], history=History(), outcome=outcome, healed_s=1.0)
        keep(tmp_path / "kept", [broken], logs=logs, row=broken.row)
        assert (tmp_path / "kept" / "logs-1" / "orders.log").read_text(encoding="utf-8") == "cut"
        assert orjson.loads((tmp_path / "kept" / "outcomes.json").read_bytes()) == {"1": outcome}


def test_report_shows_violations_without_control_characters() -> None:
    out = io.StringIO()
    result = Result(row=CALM, history=History(), outcome={"I1": ["lost \x1b[2J[red]\u202e"]}, healed_s=1.0)
    report.show([result], [], Console(file=out, width=160))
    assert "lost \\u001b[2J[red]\\u202e" in out.getvalue()


class TestCommand:
    def test_unknown_row_lists_the_known_rows(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--row", "99"]) == 2
        assert capsys.readouterr().err.startswith("Unknown row '99'. Expected one of: 1, 2, ")

    def test_exits_when_the_stack_is_not_its_own(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOPLINE_GATEWAY_URL", "http://localhost:8000")
        assert main(["--row", "1"]) == 2
        assert "unset HOPLINE_GATEWAY_URL" in capsys.readouterr().err

    def test_row_of_other_tests_is_printed_without_a_stack(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--row", "16", "--seed", "5"]) == 0
        reported = capsys.readouterr().out
        assert "SEED=5" in reported
        assert "workers/tests/test_failures.py::TestLateJob" in reported
