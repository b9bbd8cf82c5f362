"""What is known: Faust tables, PostgreSQL, and the read-only views over compacted topics."""
