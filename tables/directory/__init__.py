"""tables/directory."""
