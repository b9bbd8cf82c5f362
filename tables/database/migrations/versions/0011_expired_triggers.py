"""Answers of triggers are forgotten after 7 days."""

from __future__ import annotations

from tables.database.migrations.statements import execute

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    execute(__file__)


def downgrade() -> None:
    raise NotImplementedError("restore a backup: going back would lose what the new columns hold")
