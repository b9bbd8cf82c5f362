"""Files of other systems: kinds, lines, records and cells."""
