"""What keeps one failing part from becoming everybody's failure; each part alone, in the order a request meets them.

`shedding` (the whole gateway is full) → per service, held together by `guard`: `shares` (one user reads many files) →
`bulkhead` (that service's callers are many) → `breaker` (it has been failing) → one attempt, or `hedge`'s two → `retry`
within the `budget`. None of them knows HTTP routes or talks to the network; `metrics` shows their state. Nothing of it
is shared between processes: each learns what it sees, and needs nobody to do so.
"""
