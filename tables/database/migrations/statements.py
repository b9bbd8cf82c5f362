"""Runs the SQL file beside a migration: statements are separated by one empty line."""

from __future__ import annotations

from pathlib import Path

from alembic import op


def execute(migration: str) -> None:
    """`migration` is the `__file__` of NNNN_name.py; its statements are in NNNN_name.sql."""
    for statement in Path(migration).with_suffix(".sql").read_text().split("\n\n"):
        if sql := "\n".join(
            line for line in statement.splitlines() if not line.lstrip().startswith("--")
        ).strip():
            op.get_bind().exec_driver_sql(sql.replace("%", "%%"))
