"""Loaded before every other conftest.

pytest's importlib mode names `shared/tests/conftest.py` "shared.tests.conftest" and would make a namespace package of
the folder `shared/` on the way, hiding the real one. Importing the two packages whose folder has their own name
settles it.

And an example may take its time: hypothesis's own bounds would fail what a busy machine keeps waiting.

A developer's `.env` reaches neither the tests nor the processes that they start.
"""

import importlib.util
import os

from hypothesis import HealthCheck, settings

os.environ["PYTHON_DOTENV_DISABLED"] = "1"

for _package in ("shared", "workers"):
    if importlib.util.find_spec(_package):
        importlib.import_module(_package)

settings.register_profile(
    "patient",
    parent=settings(),
    deadline=None,
    suppress_health_check=[*settings().suppress_health_check, HealthCheck.too_slow],
)
settings.load_profile("patient")
