"""The four entities of the specification, the directory, and the outbox."""

from __future__ import annotations

from tables.database.migrations.statements import execute

revision = "0001"
down_revision = None


def upgrade() -> None:
    execute(__file__)


def downgrade() -> None:
    raise NotImplementedError("the first migration has nothing to go back to: drop the database")
