"""tests/api/command_line."""
