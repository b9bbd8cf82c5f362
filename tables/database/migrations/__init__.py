"""The schema as a chain of migrations; Alembic runs them."""
