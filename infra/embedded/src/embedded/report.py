"""Prints `status`: tables of processes, databases, streams and schedules."""

from rich.console import Console
from rich.table import Table

from embedded.status import Status

MEBIBYTE = 1024 * 1024
_COLOURS = {"RUNNING": "green", "STARTING": "yellow", "STOPPING": "yellow", "STOPPED": "dim"}


def show(status: Status, console: Console) -> None:
    """Print the tables that are not empty."""
    if not status.processes:
        console.print("Hopline is not running: `make up` starts it", soft_wrap=True)
    if status.orphans:
        pids = " ".join(str(pid) for pid in status.orphans)
        console.print(
            f"[red]processes without supervisor: {pids}; `make up` or `make down` stops them[/red]", soft_wrap=True
        )
    for table in (_processes(status), _databases(status), _streams(status), _schedules(status)):
        if table.rows:
            console.print(table)
    if status.connections:
        colour = "default" if status.connections.fits else "red"
        console.print(f"[{colour}]connections: {status.connections}[/{colour}]", soft_wrap=True, highlight=False)
        if problem := status.connections.problem():
            console.print(f"[red]{problem}[/red]", soft_wrap=True, highlight=False)


def _processes(status: Status) -> Table:
    table = _table("process", "state", "pid", "uptime", "restarts", "memory")
    for process in status.processes:
        colour = _COLOURS.get(process.state, "red")
        state = f"[{colour}]{process.state.lower()}[/{colour}]"
        pid = str(process.pid or "–")
        table.add_row(
            process.name, state, pid, _duration(process.uptime_s), str(process.restarts), _size(process.memory_bytes)
        )
    if table.rows:
        table.add_section()
        table.add_row("all", "", "", "", "", _size(status.memory_bytes))
    return table


def _databases(status: Status) -> Table:
    table = _table("database", "size", "connections", "outbox", "dead letters", "jobs")
    for database in status.databases:
        jobs = ", ".join(f"{count} {state}" for state, count in (database.jobs or {}).items())
        table.add_row(
            database.name,
            _size(database.size_bytes),
            f"{database.connections} of {status.connections.available if status.connections else 0}",
            _count(database.outbox),
            _count(database.dead_letters, alarming=True),
            jobs or ("–" if database.jobs is None else "none"),
        )
    return table


def _streams(status: Status) -> Table:
    table = _table("stream", "length", "group", "lag", "pending")
    for group in status.groups:
        table.add_row(group.stream, str(group.length), group.group, _count(group.lag), str(group.pending))
    return table


def _schedules(status: Status) -> Table:
    table = _table("schedule", "last slot", "job state", "next slot")
    for schedule in status.schedules:
        state = schedule.last_state or "–"
        table.add_row(
            schedule.name,
            schedule.last_slot or "–",
            f"[red]{state}[/red]" if state == "dead" else state,
            schedule.next_slot,
        )
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(first, box=None, pad_edge=False, header_style="bold", title=None)
    for name in others:
        table.add_column(name, justify="left" if name in {"state", "group", "jobs"} else "right")
    return table


def _count(value: int | None, *, alarming: bool = False) -> str:
    """Return the number, or – if it does not apply; red if it should be zero and is not."""
    if value is None:
        return "–"
    return f"[red]{value}[/red]" if alarming and value else str(value)


def _size(size_bytes: int) -> str:
    return f"{size_bytes / MEBIBYTE:.0f} MiB"


def _duration(seconds: int) -> str:
    if not seconds:
        return "–"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {rest:02}s" if minutes else f"{rest}s"
