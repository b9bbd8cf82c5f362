"""Runs the migrations on the connection that `tables.database.migrate` opened: all of them in one
transaction, one process at a time.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

connection: Connection = context.config.attributes["connection"]
context.configure(connection=connection, transaction_per_migration=False)
with context.begin_transaction():
    # Several processes of a starting stack migrate at once: the second waits here and then finds
    # nothing to do.
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('campaigns.migrate'))")
    context.run_migrations()
