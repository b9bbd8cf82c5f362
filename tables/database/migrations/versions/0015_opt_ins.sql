-- A person who has told a provider to stop may tell it to start again: that lifts what the same way
-- had set, and nothing else.

ALTER TABLE suppressions ADD COLUMN way varchar(20), ADD COLUMN said_at timestamptz;

CREATE TABLE opt_ins (
  tenant_id varchar(64) NOT NULL,
  channel campaign_channel NOT NULL,
  address_hash bytea NOT NULL,
  at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, channel, address_hash)
);

CREATE INDEX idx_opt_ins_at ON opt_ins (at);

-- Of two reasons for one target the first stays. A complaint, a bounce or a person's own entry that
-- comes second makes it one that no START can lift. BEFORE INSERT fires for rows that ON CONFLICT
-- then drops, too.
CREATE FUNCTION keep_suppression() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE suppressions
     SET way = NULL
   WHERE tenant_id = NEW.tenant_id AND channel = NEW.channel AND way IS NOT NULL
     AND (address = NEW.address OR contact_id = NEW.contact_id);
  RETURN NEW;
END $$;

CREATE TRIGGER keep_suppression BEFORE INSERT ON suppressions
   FOR EACH ROW WHEN (NEW.reason <> 'unsubscribed') EXECUTE FUNCTION keep_suppression();
