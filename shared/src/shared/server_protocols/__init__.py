"""uvicorn's protocol classes with bounds on what a client can send before, between and after requests.

uvicorn documents that its options `http` and `ws` take a protocol class. `http` has the HTTP class, `problems` a
subclass whose error responses are problems, which the services use, and `websocket` the WebSocket class. ADR 27 has the
reasons and the cost.

The classes use attributes of uvicorn's classes that have no underscore and no documentation. `pyproject.toml` bounds
uvicorn to one minor version, and `shared/tests/test_server_protocols.py` checks the attributes.
"""
