"""tests/tables."""
