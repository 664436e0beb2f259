"""Create the view that `make status` reads."""

from alembic import op

revision = "2026_11_29_operator_status"
down_revision = "2026_11_25_inbox_tells_by_whom"
branch_labels = None
depends_on = None

VIEW = """
CREATE VIEW operator_status AS
SELECT json_build_object(
    'dead_letters', (SELECT count(*) FROM dead_letter WHERE replayed_at IS NULL)
) AS status
"""


def upgrade() -> None:
    op.execute(VIEW)


def downgrade() -> None:
    op.execute("DROP VIEW operator_status")
