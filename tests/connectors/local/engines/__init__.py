"""tests/connectors/local/engines."""
