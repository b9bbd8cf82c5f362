"""connectors/messages."""
