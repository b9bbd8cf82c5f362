"""tests/api/documents."""
