"""The notification feed of each user: stored in PostgreSQL and pushed over WebSockets.

`models`, `repository` and `service` are the feed, `events` adds to it, `routes` is the REST interface, and `realtime`
serves the WebSockets.
"""
