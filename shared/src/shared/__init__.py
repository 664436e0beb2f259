"""What at least two Hopline processes need and that names no business idea.

Read in this order: `settings` → `logging` → `telemetry` → `errors` → `middleware` → `health` → `app` (which puts
them together), then what talks to the outside: `database`, `redis`, `http`, `objects`, `tokens`, and `events` on top.
"""
