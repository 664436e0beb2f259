"""A client of the shop: its REST API and its WebSocket.

`api` builds requests and reads responses, `realtime` keeps the state of a WebSocket; both are without input and output
and need the standard library only, so that Locust can use them over its own transport. `models` has the types of
bodies, `backoff` the delays between attempts. `rest.Client` sends the requests with httpx, and `device.Device` connects
with websockets. Start with `rest.open_client`.
"""
