"""streams/process."""
