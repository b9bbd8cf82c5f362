"""Triggers are remembered where every command is."""

from __future__ import annotations

from tables.database.migrations.statements import execute

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    execute(__file__)


def downgrade() -> None:
    raise NotImplementedError("restore a backup: going back would lose what the new columns hold")
