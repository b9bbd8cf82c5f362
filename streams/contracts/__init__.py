"""streams/contracts."""
