"""Protection against failing and slow services, and against overload.

`shedding` limits the requests of the whole gateway. `pipeline` has the other parts, which a call to a service passes in
this order: `user_limit` (concurrent downloads of one user), `bulkhead` (concurrent calls), `retry` (several attempts,
within the `budget`), `hedge` (one attempt or two at the same time) and `breaker` (circuit breaker, for each attempt).
`metrics` counts what the parts did, and `gauges` reports their state.

The parts send no requests themselves. Each process has a separate state, so processes do not influence each other.
"""
