"""tests/tables/database."""
