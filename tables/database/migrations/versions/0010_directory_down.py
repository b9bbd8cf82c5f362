"""A campaign whose audience waits for a directory service."""

from __future__ import annotations

from tables.database.migrations.statements import execute

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    execute(__file__)


def downgrade() -> None:
    raise NotImplementedError("restore a backup: going back would lose what the new columns hold")
