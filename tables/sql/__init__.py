"""PostgreSQL: the schema, the campaign lifecycle with its outbox, audiences, recipients and the directory."""
