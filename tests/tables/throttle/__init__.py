"""tests/tables/throttle."""
