-- One row: the settings that every process of this installation must have.

CREATE TABLE installation (
  is_only      boolean PRIMARY KEY DEFAULT true CONSTRAINT installation_is_only_check CHECK (is_only),
  topic_prefix varchar(200) NOT NULL,
  partitions   integer NOT NULL,
  hour         interval NOT NULL,
  day          interval NOT NULL,
  address_key  varchar(32) NOT NULL,
  message_keys jsonb NOT NULL,
  written_at   timestamptz NOT NULL DEFAULT now()
);

-- A block of the ledger is made as a plain table and attached: CREATE TABLE … PARTITION OF takes ACCESS EXCLUSIVE on the
-- ledger, so it waited behind every open reader (a backup, a report), and everybody else behind it. ATTACH PARTITION takes
-- SHARE UPDATE EXCLUSIVE, which no reader and no writer holds. The table is empty, so nothing is scanned. Whatever else may
-- hold a lock (a vacuum; a transaction that changes campaigns, because their key is copied) is waited for half a second: the
-- caller tries again.
CREATE OR REPLACE FUNCTION ensure_recipient_partitions(campaign_number bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE block bigint;
BEGIN
  FOR block IN campaign_number / 1000 .. campaign_number / 1000 + 1 LOOP
    PERFORM ensure_recipient_block(block);
  END LOOP;
END $$;

CREATE FUNCTION ensure_recipient_block(block bigint) RETURNS boolean LANGUAGE plpgsql SET lock_timeout = '500ms' AS $$
DECLARE name text := 'campaign_recipients_' || block;
BEGIN
  IF to_regclass(name) IS NOT NULL THEN
    RETURN false;
  END IF;
  PERFORM pg_advisory_xact_lock(hashtext(name));
  -- not to_regclass, which may remember that there was none before the lock
  IF EXISTS (SELECT FROM pg_class WHERE relname = name AND relnamespace = current_schema()::regnamespace) THEN
    RETURN false;
  END IF;
  EXECUTE format('CREATE TABLE %I (LIKE campaign_recipients INCLUDING DEFAULTS INCLUDING INDEXES)', name);
  EXECUTE format('ALTER TABLE campaign_recipients ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                 name, recipient_id(block * 1000, 0), recipient_id((block + 1) * 1000, 0));
  RETURN true;
END $$;

-- Records that Kafka refused when they were written alone, such as one that is too large: those behind them go on.
CREATE TABLE outbox_refused (
  seq        bigint PRIMARY KEY,
  event_id   uuid NOT NULL,
  topic      varchar(100) NOT NULL,
  key        varchar(100) NOT NULL,
  type       varchar(60) NOT NULL,
  payload    bytea NOT NULL,
  error      varchar(300) NOT NULL,
  refused_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX idx_outbox_refused_at ON outbox_refused (refused_at);
