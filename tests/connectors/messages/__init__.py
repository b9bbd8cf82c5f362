"""tests/connectors/messages."""
