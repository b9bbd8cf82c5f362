"""api/demo."""
