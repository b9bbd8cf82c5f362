"""The schema as a chain of migrations, which Alembic runs.

A test compares a migrated database with `tables.models`. The migrations import nothing else of
ours, so that an old one never changes with the code.
"""
