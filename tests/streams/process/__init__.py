"""tests/streams/process."""
