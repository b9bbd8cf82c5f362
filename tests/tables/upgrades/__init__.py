"""State of the version before, read by this one, and the other way round."""
