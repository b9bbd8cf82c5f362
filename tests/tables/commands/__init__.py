"""tests/tables/commands."""
