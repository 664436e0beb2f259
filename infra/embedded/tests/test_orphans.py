import subprocess

import psutil

from embedded import orphans


def test_process_is_ignored_when_it_has_ended_meanwhile() -> None:
    child = subprocess.Popen(["/bin/sleep", "60"])
    found = psutil.Process(child.pid)
    child.kill()
    child.wait()
    orphans.stop([found])
