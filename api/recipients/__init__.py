"""api/recipients."""
