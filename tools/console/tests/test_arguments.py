"""Errors for invalid arguments, and the help."""

import sys

import pytest

from console.__main__ import main
from console.crash import CRASH, CRASH_DESCRIPTION
from console.faults import KINDS, NONE
from console.walks import WALKS


def read_error(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """Run the console, which exits with 2, and return the error that it prints."""
    monkeypatch.setattr(sys, "argv", ["console", *arguments])
    with pytest.raises(SystemExit, match="2"):
        main()
    return capsys.readouterr().err


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "allowed", "example"),
        [
            (["fault", "--target", "orders", "--kind", "nope"], [*KINDS, NONE], "make fault TARGET=orders KIND=slow"),
            (["walk", "nope"], [*WALKS, CRASH], "make walk W=order"),
        ],
    )
    def test_error_is_one_line_with_the_allowed_values_and_an_example_when_a_value_is_unknown(
        self,
        arguments: list[str],
        allowed: list[str],
        example: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        line = read_error(arguments, monkeypatch, capsys)
        assert line.count("\n") == 1
        assert "nope" in line
        assert [value for value in allowed if value not in line] == []
        assert example in line

    def test_help_describes_every_walk(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(sys, "argv", ["console", "walk", "--help"])
        with pytest.raises(SystemExit, match="0"):
            main()
        shown = " ".join(capsys.readouterr().out.split())
        for name, text in [*((name, walk.description) for name, walk in WALKS.items()), (CRASH, CRASH_DESCRIPTION)]:
            assert f"{name}: {text}" in shown

    def test_error_names_the_option_when_its_number_is_invalid(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        line = read_error(["fault", "--target", "orders", "--kind", "slow", "--value", "long"], monkeypatch, capsys)
        assert "value: invalid int value: 'long'" in line
        assert line.count("\n") == 1
