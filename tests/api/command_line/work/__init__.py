"""tests/api/command_line/work."""
