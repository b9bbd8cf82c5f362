"""tests/connectors/sources."""
