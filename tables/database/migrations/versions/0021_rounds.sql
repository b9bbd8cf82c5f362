-- What Kafka and PostgreSQL know of each other: a round is one batch of the outbox.

ALTER TABLE installation
  ADD COLUMN identity     uuid,
  ADD COLUMN announced    bigint NOT NULL DEFAULT 0,
  ADD COLUMN announced_at timestamptz,
  ADD COLUMN acknowledged bigint NOT NULL DEFAULT 0,
  ADD COLUMN mismatch     text NOT NULL DEFAULT '';
