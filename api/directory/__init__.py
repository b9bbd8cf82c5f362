"""api/directory."""
