"""Jobs: types, repository, runner, leases, retries and dead letters.

Read in this order: `types` → `repository` → `runner` → `leases` → `sweeper`.
"""
