"""tests/tables/campaigns."""
