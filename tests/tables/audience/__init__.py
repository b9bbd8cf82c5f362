"""tests/tables/audience."""
