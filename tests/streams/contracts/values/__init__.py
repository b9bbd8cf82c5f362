"""tests/streams/contracts/values."""
