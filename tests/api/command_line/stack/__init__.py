"""tests/api/command_line/stack."""
