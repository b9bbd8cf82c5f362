"""connectors/local/stack."""
