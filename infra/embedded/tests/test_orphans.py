"""Processes of a stack that lost their supervisor."""

import subprocess

import psutil

from embedded import orphans


def test_stop_ignores_a_process_that_has_ended_meanwhile() -> None:
    child = subprocess.Popen(["/bin/sleep", "60"])
    orphan = psutil.Process(child.pid)
    child.kill()
    child.wait()
    orphans.stop([orphan])
