"""The low-water mark of an outbox: all rows up to this sequence were deleted.

Without it, an outbox whose rows were all deleted would look like a new one. The relay would delete the stream, because
the stream would be ahead of the outbox, and assign sequences from 1 again. The mark also shows that a stream was
restored from an old copy, because such a stream ends below the mark.
"""

import sqlalchemy as sa


def low_water_mark_tables(metadata: sa.MetaData) -> None:
    """Define `outbox_floor` and `outbox_mark` on a publishing service's metadata. `outbox_table` calls this function.

    `outbox_floor` has at most one row with the low-water mark, which is written by the transaction that deletes rows.
    A row of `outbox_mark` means that at `noted_at` every consumer group had acknowledged all events up to `seq`.
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
low_water_mark_tables(_TABLES)
LOW_WATER_MARK, ACKNOWLEDGED_MARK = _TABLES.tables["outbox_floor"], _TABLES.tables["outbox_mark"]

LOW_WATER_SEQ = "(SELECT coalesce(max(seq), 0) FROM outbox_floor)"
"""SQL: the low-water mark; 0 if no row was ever deleted."""

HEAD_SEQ = f"(SELECT greatest(coalesce(max(pub_seq), 0), {LOW_WATER_SEQ}) FROM outbox)"  # noqa: S608 - constants only
"""SQL: the highest `pub_seq` that was ever assigned."""
