"""The four entities of the specification, the directory, and the outbox."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    for statement in Path(__file__).with_name("0001_initial.sql").read_text().split("\n\n"):
        if sql := "\n".join(line for line in statement.splitlines() if not line.lstrip().startswith("--")).strip():
            op.get_bind().exec_driver_sql(sql)


def downgrade() -> None:
    raise NotImplementedError("the first migration has nothing to go back to: drop the database")
