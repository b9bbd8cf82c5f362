"""Records on the wire: ids, facts, dead letters."""
