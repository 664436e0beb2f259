"""WebSockets. Each device receives 1..head of its user's feed in order, without gaps and repeats, after any failure.

    endpoint         one task per socket: hello, ticket, welcome, then the client's frames
    session          one socket: its outbound queue and its delivery cursor
    delivery_cursor  the algorithm that keeps the sequence, without input or output
    outbound_queue   the bounded queue of a socket and its writer
    hub              the sessions of this process, by user
    connections      opening and closing sessions, with the subscriptions of their users
    subscriber       a pub/sub connection of the process; one for feeds and one for rooms
    heartbeat        pings, and comparison of heads, which finds a lost publish
    history          missed notifications, from the cache or from PostgreSQL
    read_marks       storing and publishing the position up to which a user has read
    publisher        publishes to users and rooms after a commit
    drain            closes all sockets before the process ends

Rooms are separate. They are ephemeral, any number of users can join them, and their frames arrive at most once.

    rooms            the rooms of this process, their members and their frames
    membership       joining and leaving, with the subscriptions of the rooms
    presence         the number of sockets in a room over all processes, by heartbeats that expire

Redis only carries hints. The contiguous `seq` in PostgreSQL guarantees that nothing is lost.
"""
