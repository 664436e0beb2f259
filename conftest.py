"""Loaded before every other conftest.

pytest's importlib mode names `shared/tests/conftest.py` "shared.tests.conftest" and would make a namespace package of
the folder `shared/` on the way, hiding the real one. Importing the two packages whose folder has their own name
settles it.
"""

import importlib.util

for _package in ("shared", "workers"):
    if importlib.util.find_spec(_package):
        importlib.import_module(_package)
