"""Hopline's jobs. ARQ dispatches them; a ledger in Postgres says what is to be done and by whom.

Read in this order: `schemas` (what a job is given) → `ledger` (its states) → `runner` (how one is run) → `sweeper`
(what heals) → `tasks` (what jobs do) → `events` (what causes them) → `main`.
"""
