"""What the endpoints of the directory need."""

from __future__ import annotations

from tables.database.migrations.statements import execute

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    execute(__file__)


def downgrade() -> None:
    raise NotImplementedError("restore a backup: going back would lose what the new columns hold")
