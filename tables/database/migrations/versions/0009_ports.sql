-- Contacts, segments and templates of other services.

ALTER TABLE segments ADD COLUMN is_mirrored boolean NOT NULL DEFAULT false;

ALTER TABLE templates ADD COLUMN is_mirrored boolean NOT NULL DEFAULT false;

-- What has been read so far of a segment of another service. Not UNLOGGED: a crash of PostgreSQL in the middle would empty it while the
-- worker reads on, and the audience would be what came afterwards.
CREATE TABLE mirrored_members (
  reading    uuid NOT NULL,
  contact_id uuid NOT NULL,
  at         timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (reading, contact_id)
);
