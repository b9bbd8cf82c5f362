"""tests/tables/directory."""
