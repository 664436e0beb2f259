"""uvicorn's protocol classes with limits on what clients can send before, between and after requests (ADR 27).

- `http`: the HTTP class
- `problems`: a subclass whose error responses are problems; the services use it
- `websocket`: the WebSocket class

uvicorn documents that its options `http` and `ws` take a protocol class. The classes use public but undocumented
attributes of uvicorn's classes. So `shared/pyproject.toml` pins uvicorn to one minor version, and
`shared/tests/server/test_protocol_members.py` checks the attributes.
"""
