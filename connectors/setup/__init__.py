"""connectors/setup."""
