"""The schema as a chain of SQL files, which Alembic runs; there is no way back but a backup.

A test compares a migrated database with `tables.models`. The files say all that they need, so that
an old one never changes with the code; this room imports Alembic and nothing of the product.
"""
