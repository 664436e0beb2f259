"""Code that at least two processes of Hopline need, grouped by technology. It contains no business logic.

The packages are layers, the lowest first. A package imports only packages above it in this list:

- `validation`: numbers, text, times and email addresses from untrusted input
- `connections`: how many PostgreSQL connections the processes may open
- `config`: settings of a process
- `errors`: HTTP errors as problem+json, and errors of the stores
- `identity`, `context`: the verified caller; id, deadline and caller of the current request
- `logging`, `telemetry`: structlog and OpenTelemetry
- `background`: background loops of a process
- `faults`: fault injection and crash points
- `db`: PostgreSQL, Redis and the object store
- `http`: the HTTP client for calls between services
- `web`, `messaging`: FastAPI applications; outbox, relay and consumers of events
- `auth`: access tokens
- `cleanup`: cleanup tasks of a service
- `server`: gunicorn, its worker and the server protocols
- `commands`: programs that run in the images
"""
