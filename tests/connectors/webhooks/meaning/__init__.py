"""tests/connectors/webhooks/meaning."""
