"""tests/api/campaigns."""
