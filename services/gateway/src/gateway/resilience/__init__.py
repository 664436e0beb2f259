"""Protection against failing and slow services, and against overload.

`shedding` limits the requests of the whole gateway. `pipeline` puts the other parts around each call to a service, in
this order: `user_limit` (concurrent downloads of one user), `bulkhead` (concurrent calls), `breaker` (circuit breaker),
then one attempt or the two of `hedge`, and `retry` within the `budget`. `metrics` reports their state.

The parts do not depend on routes or on the network. Each process has separate state, which results from its calls.
"""
