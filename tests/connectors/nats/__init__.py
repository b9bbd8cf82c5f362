"""tests/connectors/nats."""
