"""The workers: jobs that ARQ dispatches and the table `job` in PostgreSQL records.

Read in this order: `schemas` (payloads) → `jobs` (repository, runner, leases, sweeper) → `tasks` (the functions) →
`event_handlers` (which events create jobs) → `schedules` → `queue` (ARQ and Redis) → `main`. `emails` and `reports`
contain the work of the longer tasks. `cleanup` deletes expired rows. `cli` is for operators.
"""
