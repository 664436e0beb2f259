"""Processes of a stack that lost their supervisor."""

import subprocess
from contextlib import ExitStack

import psutil

from embedded import orphans


def test_stop_ignores_a_process_that_has_ended_meanwhile() -> None:
    child = subprocess.Popen(["/bin/sleep", "60"])
    orphan = psutil.Process(child.pid)
    child.kill()
    child.wait()
    orphans.stop([orphan])


def test_stop_ignores_a_zombie_when_its_parent_never_reaps_it() -> None:
    script = "/bin/sleep 60 & echo $!; exec /bin/sleep 60"
    with ExitStack() as started:
        parent = started.enter_context(subprocess.Popen(["/bin/sh", "-c", script], stdout=subprocess.PIPE, text=True))
        started.callback(parent.kill)
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        orphans.stop([child])
        assert child.status() == psutil.STATUS_ZOMBIE
