"""tables/audience."""
