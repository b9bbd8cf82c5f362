"""connectors/templates."""
