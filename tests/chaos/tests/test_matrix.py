"""The rows of the matrix, the printed and saved results, and the command line."""

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
from chaos.report import save
from chaos.trial import Result

ROOT = Path(__file__).parents[3]
ROWS = 23
NAMED_TESTS = sorted({test for row in MATRIX for test in row.covered_by})


class TestMatrix:
    def test_rows_are_numbered_and_have_a_nemesis_or_tests(self) -> None:
        assert [row.name for row in MATRIX] == [str(number) for number in range(1, ROWS + 1)]
        assert all(row.nemesis or row.covered_by for row in MATRIX)

    @pytest.mark.parametrize("test", NAMED_TESTS)
    def test_named_tests_of_a_row_exist(self, test: str) -> None:
        file, _, name = test.partition("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert not name or name in {node.name for node in tree.body if isinstance(node, ast.ClassDef)}


class TestSave:
    def test_all_outcomes_and_the_logs_of_the_failed_row_are_saved(self, tmp_path: Path) -> None:
        logs = tmp_path / "stack" / "logs"
        logs.mkdir(parents=True)
        (logs / "orders.log").write_text("cut", encoding="utf-8")
        outcome = {"I1": [f"order lost: {number}" for number in range(100)], "I2": list[str]()}
        broken = Result(row=MATRIX[0], history=History(), outcome=outcome, healed_s=1.0)
        save(tmp_path / "kept", [broken], logs=logs, row=broken.row)
        assert (tmp_path / "kept" / "logs-1" / "orders.log").read_text(encoding="utf-8") == "cut"
        assert orjson.loads((tmp_path / "kept" / "outcomes.json").read_bytes()) == {"1": outcome}


def test_report_shows_violations_without_control_characters() -> None:
    out = io.StringIO()
    result = Result(row=CALM, history=History(), outcome={"I1": ["lost \x1b[2J[red]\u202e"]}, healed_s=1.0)
    report.print_results([result], [], Console(file=out, width=160))
    assert "lost \\u001b[2J[red]\\u202e" in out.getvalue()


class TestCommand:
    def test_command_lists_the_known_rows_when_a_row_is_unknown(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--row", "99"]) == 2
        assert capsys.readouterr().err.startswith("Unknown row '99'. Expected one of: 1, 2, ")

    def test_command_fails_when_the_environment_names_another_stack(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOPLINE_GATEWAY_URL", "http://localhost:8000")
        assert main(["--row", "1"]) == 2
        assert "unset HOPLINE_GATEWAY_URL" in capsys.readouterr().err

    def test_command_prints_the_tests_of_a_row_without_a_nemesis(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--row", "16", "--seed", "5"]) == 0
        reported = capsys.readouterr().out
        assert "SEED=5" in reported
        assert "workers/tests/test_failures.py::TestLateJob" in reported
