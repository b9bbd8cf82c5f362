"""tests/api/tenant."""
