"""Injects faults into the whole running system and checks its data afterwards, like Jepsen's set test.

Customers place and cancel orders (`customer`), their devices receive notifications (`device`), and a nemesis injects
faults (`nemesis`). `workload` runs the customers and devices. Each operation is recorded as ok, failed or
indeterminate (`history`). After recovery, when nothing is in progress, the content of the stores is read
(`snapshot_reader`, `snapshot`) and compared with the history by pure functions (`checker`, `invariants`).
"""
