"""tables/contacts."""
