"""tables/tenants."""
