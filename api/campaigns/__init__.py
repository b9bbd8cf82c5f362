"""api/campaigns."""
