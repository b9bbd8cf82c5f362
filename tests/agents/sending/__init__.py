"""tests/agents/sending."""
