"""tests/connectors/local."""
