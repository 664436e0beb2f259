"""Settings of every test run. Pytest loads this file before every other conftest.

In importlib mode pytest names `shared/tests/conftest.py` "shared.tests.conftest". For this name it would create a
namespace package from the folder `shared/`, which would hide the real package `shared`. So this file imports the
packages that have the same name as their folder before pytest does that.

The garbage collector skips the million objects that exist after the collection of the tests, because they stay until
the end. To scan them repeatedly took a fifth of the CPU time of the tests.

Hypothesis has no time limits, because examples are slow on a busy machine. The `.env` of a developer is read neither by
the tests nor by the processes that they start.
"""

import gc
import importlib.util
import os

import pytest
from hypothesis import HealthCheck, settings

gc.disable()
os.environ["PYTHON_DOTENV_DISABLED"] = "1"

for _package in ("shared", "workers"):
    if importlib.util.find_spec(_package):
        importlib.import_module(_package)

settings.register_profile(
    "without-time-limits",
    parent=settings(),
    deadline=None,
    suppress_health_check=[*settings().suppress_health_check, HealthCheck.too_slow],
)
settings.load_profile("without-time-limits")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist's controller, which collects no tests
def pytest_runtestloop() -> None:
    """Exclude the objects of the collection from the garbage collector, and start it."""
    gc.freeze()
    gc.enable()
