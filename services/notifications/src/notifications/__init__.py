"""The notification feed of every user: stored in Postgres, pushed over WebSockets.

Read `models` → `repository` → `service` for the feed, `events` for what fills it, `routes` for REST, and `realtime`
for the sockets.
"""
