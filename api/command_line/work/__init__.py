"""api/command_line/work."""
