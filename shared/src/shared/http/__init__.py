"""The HTTP client. `client` opens it, `spans` instruments it, and `aiohttp_transport` is its default transport."""
