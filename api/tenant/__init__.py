"""api/tenant."""
