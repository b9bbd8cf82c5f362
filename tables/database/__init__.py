"""tables/database."""
