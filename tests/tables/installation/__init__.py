"""tests/tables/installation."""
