"""streams/records."""
