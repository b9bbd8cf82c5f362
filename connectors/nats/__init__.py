"""connectors/nats."""
