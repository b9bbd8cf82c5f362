"""connectors/local/engines."""
