"""tests/agents/delivery."""
