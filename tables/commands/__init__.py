"""tables/commands."""
