"""tests/agents/counting."""
