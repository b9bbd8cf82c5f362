"""streams/exactly_once."""
