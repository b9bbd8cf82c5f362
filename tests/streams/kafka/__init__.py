"""tests/streams/kafka."""
