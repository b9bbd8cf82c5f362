"""tables/throttle."""
