"""tests/streams/settings."""
