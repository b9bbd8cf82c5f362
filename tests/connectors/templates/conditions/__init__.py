"""tests/connectors/templates."""
