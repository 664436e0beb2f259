"""WebSockets: every device sees 1..head of its user's feed in order, no gap, no repeat, whatever is killed.

    endpoint ─ one task per socket: hello, ticket, welcome, then what the client says
    session ── one socket: queue, writer and `pump`, the pure algorithm that keeps the sequence
    hub ────── which sessions of which user this process serves
    subscriber a pub/sub connection of the process, one for feeds and one for rooms
    heartbeat  the process's one clock: pings, and compares heads so that a lost publish is found
    history ── what a session missed: from the cache, else from Postgres
    publisher  the other end: after a commit, into the cache and to the channel
    drain ──── sends everyone elsewhere before the process ends

Rooms are apart from that: ephemeral, joined by any number of users, at most once.

    rooms ──── the rooms of this process, their members, and what they receive
    membership joining and leaving, with the subscriptions that follow from it
    presence ─ how many sockets are in a room over all processes, by heartbeats that expire

Redis carries hints; that nothing is lost rests on the contiguous `seq` in Postgres alone.
"""
