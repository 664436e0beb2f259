"""Create the view that `make status` reads."""

from alembic import op

revision = "operator_status"
down_revision = "floor_of_the_outbox"
branch_labels = None
depends_on = None

VIEW = """
CREATE VIEW operator_status AS
SELECT json_build_object(
    'outbox', json_build_object(
        'unsequenced', (SELECT count(*) FROM outbox WHERE pub_seq IS NULL),
        'last_sequence', greatest((SELECT max(pub_seq) FROM outbox), (SELECT max(seq) FROM outbox_floor), 0),
        'low_water_mark', coalesce((SELECT max(seq) FROM outbox_floor), 0)
    )
) AS status
"""


def upgrade() -> None:
    op.execute(VIEW)


def downgrade() -> None:
    op.execute("DROP VIEW operator_status")
