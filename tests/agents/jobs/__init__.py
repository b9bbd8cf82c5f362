"""tests/agents/jobs."""
