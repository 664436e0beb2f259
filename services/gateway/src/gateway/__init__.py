"""The gateway: the public API of Hopline. It forwards requests to services and aggregates their responses.

`main` builds the application: read it first, then `routes`, `forward` and `clients` for the path of a request,
`limits` and `resilience` for the protection of the gateway and the services, and `browser` for the page.
"""
