"""tests/connectors/local/stack."""
