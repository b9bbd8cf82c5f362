"""tests/connectors/webhooks."""
