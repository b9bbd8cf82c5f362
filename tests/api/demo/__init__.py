"""tests/api/demo."""
