"""tables/stats."""
