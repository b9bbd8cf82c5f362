"""tests/connectors/setup."""
