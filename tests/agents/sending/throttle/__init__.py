"""tests/agents/sending/throttle."""
