"""tests/api/recipients."""
