"""tests/stacks."""
