"""tests/connectors/templates/language."""
