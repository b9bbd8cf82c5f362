"""api/command_line/stack."""
