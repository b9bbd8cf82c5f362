"""tests/tables/stats."""
