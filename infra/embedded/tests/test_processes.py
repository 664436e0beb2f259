"""The process table, and supervisord's configuration, read by supervisord's parser."""

from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from embedded import processes
from embedded.configuration import render
from embedded.errors import EmbeddedError
from embedded.processes import Process
from embedded.stack import ROOT, Stack


@pytest.fixture
def table(stack: Stack) -> processes.Table:
    stack.create()
    return processes.table(stack, {})


class TestReloading:
    def test_only_the_named_processes_watch_their_source(self, stack: Stack) -> None:
        stack.create()
        table = processes.table(stack, {"HOPLINE_RELOAD": "orders,worker"})
        by_name = {process.name: process for process in table.processes}
        assert "--reload" in by_name["orders"].command
        assert str(ROOT / "services/orders/src") in by_name["orders"].command
        assert by_name["worker"].command[0].endswith("watchfiles")
        assert by_name["users"].command[0].endswith("gunicorn")
        assert by_name["report-worker"].command[0].endswith("arq")


class TestSelected:
    def test_all_processes_are_selected_when_no_name_is_given(self, table: processes.Table) -> None:
        names = [process.name for process in table.selected([])]
        assert names == [
            "postgres",
            "valkey",
            "observatory",
            "users",
            "orders",
            "notifications",
            "gateway",
            "worker",
            "report-worker",
        ]

    def test_dependencies_are_selected_when_a_process_is_named(self, table: processes.Table) -> None:
        names = [process.name for process in table.selected(["orders"])]
        assert names == ["postgres", "valkey", "observatory", "users", "orders"]

    def test_unknown_name_is_rejected_with_the_known_names(self, table: processes.Table) -> None:
        with pytest.raises(EmbeddedError, match=r"Unknown process 'mailer'\. Expected one of: postgres, valkey"):
            table.selected(["mailer"])


class TestRender:
    @pytest.fixture
    def options(self, stack: Stack, table: processes.Table) -> ServerOptions:
        path = stack.run / "supervisord.conf"
        path.write_text(render(stack, table.processes))
        options = ServerOptions()
        options.realize(["-c", str(path)])
        return options

    def test_stores_are_started_first_and_stopped_last(self, options: ServerOptions) -> None:
        groups = sorted(options.process_group_configs, key=lambda group: int(group.priority))
        assert [group.name for group in groups] == ["stores", "telemetry", "services"]

    def test_programs_have_their_stop_signals_and_postgres_its_account(
        self, options: ServerOptions, table: processes.Table
    ) -> None:
        programs = {
            program.name: program for group in options.process_group_configs for program in group.process_configs
        }
        assert programs["postgres"].stopsignal.name == "SIGINT"
        account = table.postgres.account
        assert programs["postgres"].uid == (account.uid if account else None)
        assert programs["gateway"].stopsignal.name == "SIGTERM"
        assert not programs["gateway"].stopasgroup
        assert programs["gateway"].killasgroup

    def test_environment_is_passed_unchanged(self, stack: Stack, tmp_path: Path) -> None:
        special = {"URL": "postgresql://u:p%40ss@h:1/db?a=b,c", "WORDS": "one two", "CALL": "x:create()"}
        process = Process(
            name="odd", group="stores", command=["/bin/odd", "a b", "100%"], environment=special, stop_seconds=1
        )
        stack.create()
        path = stack.run / "odd.conf"
        path.write_text(render(stack, [process]))
        options = ServerOptions()
        options.realize(["-c", str(path)])
        [program] = options.process_group_configs[0].process_configs
        assert program.environment == special
        assert program.command == "/bin/odd 'a b' 100%"

    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            ('say "hi"', "A may not contain double quotes"),
            (
                "'Hop' <shop@hopline.example>",
                "A may not .* begin or end with a quote",
            ),
            ("two\nlines", "A may not contain double quotes or line breaks"),
            ("two\rlines", "rejects line breaks"),
            ("a ;b", "start of a comment"),
            ("a\t#b", "start of a comment"),
        ],
    )
    def test_value_is_rejected_when_the_format_cannot_represent_it(self, stack: Stack, value: str, reason: str) -> None:
        process = Process(name="odd", group="stores", command=["/bin/odd"], environment={"A": value}, stop_seconds=1)
        with pytest.raises(EmbeddedError, match=reason):
            render(stack, [process])


class TestMissing:
    def test_error_names_the_program_when_it_is_not_installed(self) -> None:
        process = Process(name="worker", group="services", command=["/nowhere/arq"], stop_seconds=1)
        assert processes.missing([process]) == [
            "worker: /nowhere/arq is missing: run `make` to install the requirements"
        ]
