"""tests/api/directory."""
