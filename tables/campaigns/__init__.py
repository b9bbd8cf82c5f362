"""tables/campaigns."""
