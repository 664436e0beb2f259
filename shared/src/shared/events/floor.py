"""The floor of an outbox: up to where its rows are gone, and what tells how far they may go.

Without it, an outbox that lost its oldest rows could not be told from one that never had them: the relay would give
numbers a second time, and after a flush of Redis ship under wrong ones.
"""

import sqlalchemy as sa


def floor_tables(metadata: sa.MetaData) -> None:
    """Define `outbox_floor` and `outbox_mark` on a publishing service's metadata; `outbox_table` does so.

    `outbox_floor` has at most one row: every event up to `seq` is removed, and none above it. It is written by the
    transaction that removes. `outbox_mark`: at `noted_at`, every consumer group had acknowledged all up to `seq`.
    """
    sa.Table(
        "outbox_floor",
        metadata,
        sa.Column(
            "single", sa.Boolean, sa.CheckConstraint("single", name="single"), primary_key=True, server_default="true"
        ),
        sa.Column("seq", sa.BigInteger, nullable=False),
    )
    sa.Table(
        "outbox_mark",
        metadata,
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("noted_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()),
    )


_TABLES = sa.MetaData()
floor_tables(_TABLES)
FLOOR, MARK = _TABLES.tables["outbox_floor"], _TABLES.tables["outbox_mark"]

FLOOR_SEQ = "(SELECT coalesce(max(seq), 0) FROM outbox_floor)"
"""SQL: the floor, 0 where nothing was ever removed."""

HEAD_SEQ = f"(SELECT greatest(coalesce(max(pub_seq), 0), {FLOOR_SEQ}) FROM outbox)"  # noqa: S608 - made of constants
"""SQL: the highest `pub_seq` that was ever given."""
