"""Injects faults into the whole running system and checks its data afterwards, like Jepsen's set test.

Customers place and cancel orders and watch their devices (`customer`, `device`, `workload`) while a nemesis injects
faults (`nemesis`). Each operation is recorded as ok, failed or indeterminate (`history`). After recovery, when nothing
is in progress, the content of the stores is read (`snapshot_reader`, `snapshot`) and compared with the history by pure
functions (`checker`, `invariants`).
"""
