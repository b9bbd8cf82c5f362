"""The last run of each background job, and the materialised stats."""

from __future__ import annotations

from tables.database.migrations.statements import execute

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    execute(__file__)


def downgrade() -> None:
    raise NotImplementedError("restore a backup: going back would lose what the new columns hold")
