"""tests/agents/processes."""
