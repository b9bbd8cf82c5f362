"""tests/streams/contracts."""
