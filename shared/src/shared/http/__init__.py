"""The HTTP client: `client` opens it, `spans` instruments it, `aiohttp_transport` sends the requests."""
