"""tests/streams/exactly_once."""
