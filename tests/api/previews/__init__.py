"""tests/api/previews."""
