"""Renders supervisord's configuration file from the process table."""

import os
import re
import resource
import shlex
from collections.abc import Iterable, Mapping

from embedded.errors import EmbeddedError
from embedded.processes import Process
from embedded.stack import Stack

OPEN_FILES = 65_536
"""Minimum limit of open files of supervisord and its processes. It is less if the hard limit is less."""


def render(stack: Stack, processes: Iterable[Process]) -> str:
    """Return supervisord's configuration file. Raises EmbeddedError for a value that the format cannot represent."""
    processes = list(processes)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    sections: dict[str, dict[str, object]] = {
        "unix_http_server": {"file": stack.socket, "chmod": "0700"},
        "rpcinterface:supervisor": {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        },
        "supervisord": {
            "pidfile": stack.run / "supervisord.pid",
            "logfile": stack.logs / "supervisord.log",
            "logfile_maxbytes": "10MB",
            "logfile_backups": 1,
            "minfds": files,
            "nocleanup": "true",
            **({"user": "root"} if os.geteuid() == 0 else {}),  # without it, supervisord warns
        },
        **{f"program:{process.name}": _program(stack, process) for process in processes},
    }
    groups = list(dict.fromkeys(process.group for process in processes))
    for position, group in enumerate(groups):
        members = ",".join(process.name for process in processes if process.group == group)
        sections[f"group:{group}"] = {"programs": members, "priority": position + 1}
    return "\n".join(
        f"[{title}]\n" + "".join(f"{key}={_escape(value)}\n" for key, value in section.items())
        for title, section in sections.items()
    )


def _program(stack: Stack, process: Process) -> dict[str, object]:
    return {
        "command": shlex.join(process.command),
        "directory": "/",
        "autostart": "false",  # `up` starts the processes in order, after the migrations
        "autorestart": "true",
        "startsecs": 1,
        "startretries": 1_000_000,  # no limit; each failed start waits a second longer
        "stopsignal": process.stop_signal,
        "stopwaitsecs": process.stop_seconds,
        "stopasgroup": "false",  # masters stop their workers in order
        "killasgroup": "true",  # after the timeout, all of them are killed
        "stdout_logfile": stack.log(process.name),
        "stdout_logfile_maxbytes": "10MB",
        "stdout_logfile_backups": 2,
        "redirect_stderr": "true",
        **({"user": process.account} if process.account else {}),
        **({"environment": _assignments(process.environment)} if process.environment else {}),
    }


def _assignments(environment: Mapping[str, str]) -> str:
    for name, value in environment.items():
        if set(value) & {'"', "\n"} or value != value.strip("'"):  # supervisord removes quotes at both ends
            raise EmbeddedError(f"{name} may not contain double quotes or line breaks, nor begin or end with a quote")
    return ",".join(f'{name}="{value}"' for name, value in environment.items())


def _escape(value: object) -> str:
    """Escape `%`. Raises EmbeddedError for text that supervisord would read as a comment or as another line."""
    text = str(value)
    if re.search(r"\s[;#]|[\r\n]", text):
        raise EmbeddedError(
            f"supervisord reads ' ;' and ' #' as the start of a comment, and rejects line breaks: change {text!r}"
        )
    return text.replace("%", "%%")
