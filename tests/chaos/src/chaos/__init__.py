"""Faults on the whole running system, and a checker of what it holds afterwards, in the manner of Jepsen's set test.

Customers place and cancel orders and watch their devices (`customer`, `device`, `crowd`) while a nemesis breaks things
(`nemesis`). Every operation is on record as ok, failed or indeterminate (`history`). When all is healed and quiet, what
the stores hold is read (`census`, `holdings`) and compared with the record by pure functions (`checker`, `invariants`).
"""
