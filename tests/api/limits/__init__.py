"""tests/api/limits."""
