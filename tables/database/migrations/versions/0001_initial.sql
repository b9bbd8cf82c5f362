-- The four entities of the specification, the directory, and the outbox.
-- Statements are separated by one empty line. Spec names are camelCase, columns snake_case.
-- Physical design and its measurements: docs/decisions, design of PostgreSQL.

CREATE TYPE campaign_channel AS ENUM ('email', 'sms', 'whatsapp', 'push');

CREATE TYPE campaign_status AS ENUM ('draft', 'scheduled', 'running', 'paused', 'completed', 'cancelled');

CREATE TYPE campaign_type AS ENUM ('one_time', 'recurring', 'triggered');

-- In precedence order: a recipient's status is the highest it reached (an engagement proves receipt).
CREATE TYPE recipient_status AS ENUM ('pending', 'sent', 'delivered', 'bounced', 'failed', 'opened', 'clicked');

CREATE TABLE tenants (
  id         varchar(64) PRIMARY KEY,
  hourly_limit integer CHECK (hourly_limit > 0),
  daily_limit  integer CHECK (daily_limit > 0),
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_keys (
  id         varchar(16) PRIMARY KEY,
  tenant_id  varchar(64) NOT NULL REFERENCES tenants (id),
  user_id    uuid NOT NULL,
  role       varchar(10) NOT NULL CHECK (role IN ('viewer', 'editor', 'sender', 'admin')),
  secret_sha256 bytea NOT NULL,
  expires_at timestamptz,
  revoked_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE contacts (
  id          uuid PRIMARY KEY,
  tenant_id   varchar(64) NOT NULL,
  external_id varchar(255),
  email       varchar(320),
  phone       varchar(20),
  push_token  varchar(512),
  first_name  varchar(255),
  last_name   varchar(255),
  time_zone   varchar(50),
  locale      varchar(35),
  attributes  jsonb NOT NULL DEFAULT '{}',
  created_at  timestamptz NOT NULL DEFAULT now(),
  updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE UNIQUE INDEX uq_contacts_external_id ON contacts (tenant_id, external_id) WHERE external_id IS NOT NULL;

CREATE INDEX idx_contacts_email ON contacts (tenant_id, email) WHERE email IS NOT NULL;

CREATE INDEX idx_contacts_phone ON contacts (tenant_id, phone) WHERE phone IS NOT NULL;

CREATE INDEX idx_contacts_push_token ON contacts (tenant_id, push_token) WHERE push_token IS NOT NULL;

CREATE TABLE segments (
  id         uuid PRIMARY KEY DEFAULT uuidv7(),
  tenant_id  varchar(64) NOT NULL,
  name       varchar(255) NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (tenant_id, name)
);

CREATE TABLE segment_members (
  segment_id uuid NOT NULL,
  contact_id uuid NOT NULL,
  tenant_id  varchar(64) NOT NULL,
  PRIMARY KEY (segment_id, contact_id)
);

CREATE INDEX idx_segment_members_contact ON segment_members (contact_id);

CREATE TABLE suppressions (
  seq        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant_id  varchar(64) NOT NULL,
  channel    campaign_channel NOT NULL,
  contact_id uuid,
  address    varchar(512),
  reason     varchar(100) NOT NULL DEFAULT 'manual',
  created_at timestamptz NOT NULL DEFAULT now(),
  CHECK (num_nonnulls(contact_id, address) = 1)
);

CREATE UNIQUE INDEX uq_suppressions_contact ON suppressions (tenant_id, channel, contact_id) WHERE contact_id IS NOT NULL;

CREATE UNIQUE INDEX uq_suppressions_address ON suppressions (tenant_id, channel, address) WHERE address IS NOT NULL;

CREATE TABLE templates (
  id         uuid PRIMARY KEY DEFAULT uuidv7(),
  tenant_id  varchar(64) NOT NULL,
  name       varchar(255) NOT NULL,
  channel    campaign_channel NOT NULL,
  content    jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX idx_templates_tenant ON templates (tenant_id, created_at DESC);

CREATE TABLE campaigns (
  id                  uuid PRIMARY KEY DEFAULT uuidv7(),
  -- 48 bits on the wire; below 2^47 so that every language's signed number holds it
  number              bigint GENERATED ALWAYS AS IDENTITY (MINVALUE 1 MAXVALUE 140737488355327) UNIQUE,
  tenant_id           varchar(64) NOT NULL,
  name                varchar(255) NOT NULL,
  description         text,
  channel             campaign_channel NOT NULL,
  status              campaign_status NOT NULL DEFAULT 'draft',
  type                campaign_type NOT NULL DEFAULT 'one_time',
  template_id         uuid REFERENCES templates (id),
  segment_ids         uuid[] NOT NULL DEFAULT '{}',
  exclude_segment_ids uuid[] NOT NULL DEFAULT '{}',
  scheduled_at        timestamptz,
  timezone            varchar(50) DEFAULT 'UTC',
  recurring_schedule  jsonb,
  settings            jsonb NOT NULL DEFAULT '{}',
  ab_test_config      jsonb,
  throttle_config     jsonb,
  started_at          timestamptz,
  completed_at        timestamptz,
  created_by          uuid NOT NULL,
  created_at          timestamptz NOT NULL DEFAULT now(),
  updated_at          timestamptz NOT NULL DEFAULT now(),
  deleted_at          timestamptz,
  -- beyond the specification
  version             integer NOT NULL DEFAULT 1,
  parent_id           uuid REFERENCES campaigns (id),
  total_recipients    integer,
  sent_count          integer,
  skipped_count       integer,
  sample_sent_at      timestamptz,
  key_epoch           smallint,
  status_reason       varchar(200),
  -- of the start, for the events that the engine publishes by itself later
  correlation_id      varchar(128)
);

CREATE INDEX idx_campaigns_tenant_status ON campaigns (tenant_id, status);

CREATE INDEX idx_campaigns_tenant_channel ON campaigns (tenant_id, channel);

CREATE INDEX idx_campaigns_scheduled ON campaigns (status, scheduled_at) WHERE status = 'scheduled';

CREATE INDEX idx_campaigns_list ON campaigns (tenant_id, created_at DESC, id DESC) WHERE deleted_at IS NULL;

CREATE TABLE campaign_variants (
  id          uuid PRIMARY KEY DEFAULT uuidv7(),
  campaign_id uuid NOT NULL REFERENCES campaigns (id),
  variant_id  varchar(50) NOT NULL,
  name        varchar(100) NOT NULL,
  template_id uuid NOT NULL REFERENCES templates (id),
  subject     varchar(500),
  weight      integer NOT NULL CHECK (weight BETWEEN 0 AND 100),
  is_winner   boolean NOT NULL DEFAULT false,
  UNIQUE (campaign_id, variant_id)
);

CREATE TABLE campaign_stats (
  id                 uuid PRIMARY KEY DEFAULT uuidv7(),
  campaign_id        uuid NOT NULL REFERENCES campaigns (id),
  variant_id         varchar(50),
  total_recipients   integer NOT NULL DEFAULT 0,
  sent_count         integer NOT NULL DEFAULT 0,
  delivered_count    integer NOT NULL DEFAULT 0,
  opened_count       integer NOT NULL DEFAULT 0,
  clicked_count      integer NOT NULL DEFAULT 0,
  bounced_count      integer NOT NULL DEFAULT 0,
  unsubscribed_count integer NOT NULL DEFAULT 0,
  complaint_count    integer NOT NULL DEFAULT 0,
  updated_at         timestamptz NOT NULL DEFAULT now(),
  UNIQUE NULLS NOT DISTINCT (campaign_id, variant_id)
);

-- UUIDv8, `nnnnnnnn-nnnn-8ooo-8ooo-000000000000`: sorts by (campaign number, ordinal) and is derivable without a look-up.
CREATE FUNCTION recipient_id(campaign_number bigint, ordinal integer) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
$$ SELECT (lpad(to_hex(campaign_number), 12, '0') || to_hex(32768 | (ordinal >> 12)) || to_hex(32768 | (ordinal & 4095)) || '000000000000')::uuid $$;

-- No foreign key to contacts: enforcing it costs five times the insert, and a contact may be erased while its ledger row stays.
CREATE TABLE campaign_recipients (
  id             uuid NOT NULL,
  tenant_id      varchar(64) NOT NULL,
  campaign_id    uuid NOT NULL,
  contact_id     uuid NOT NULL,
  variant_id     varchar(50),
  status         recipient_status NOT NULL DEFAULT 'pending',
  sent_at        timestamptz,
  delivered_at   timestamptz,
  opened_at      timestamptz,
  clicked_at     timestamptz,
  failed_at      timestamptz,
  failure_reason text,
  message_id     uuid,
  unsubscribed_at timestamptz,
  complained_at  timestamptz,
  CONSTRAINT campaign_recipients_pkey PRIMARY KEY (id),
  CONSTRAINT fk_campaign_recipients_campaign FOREIGN KEY (campaign_id) REFERENCES campaigns (id) NOT ENFORCED
) PARTITION BY RANGE (id);

CREATE INDEX idx_campaign_recipients_campaign_status ON campaign_recipients (campaign_id, status);

CREATE INDEX idx_campaign_recipients_contact ON campaign_recipients (contact_id);

-- Partitions hold blocks of 1,000 campaign numbers, so that retention is a dropped partition. Made two blocks ahead, never on demand.
CREATE FUNCTION ensure_recipient_partitions(campaign_number bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE block bigint;
BEGIN
  FOR block IN campaign_number / 1000 .. campaign_number / 1000 + 1 LOOP
    IF to_regclass('campaign_recipients_' || block) IS NULL THEN
      PERFORM pg_advisory_xact_lock(hashtext('campaign_recipients_' || block));
      EXECUTE format('CREATE TABLE IF NOT EXISTS campaign_recipients_%s PARTITION OF campaign_recipients FOR VALUES FROM (%L) TO (%L)',
                     block, recipient_id(block * 1000, 0), recipient_id((block + 1) * 1000, 0));
    END IF;
  END LOOP;
END $$;

SELECT ensure_recipient_partitions(0);

-- What must reach Kafka because a row changed. seq is the order within a campaign, because its row lock serialises the writers.
CREATE TABLE outbox (
  seq          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  event_id     uuid NOT NULL DEFAULT uuidv7(),
  topic        varchar(100) NOT NULL,
  key          varchar(100) NOT NULL,
  type         varchar(60) NOT NULL DEFAULT '',
  payload      bytea NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- The first answer to a command or an idempotent request, given again to every repeat.
CREATE TABLE answers (
  tenant_id      varchar(64) NOT NULL,
  scope          varchar(10) NOT NULL CHECK (scope IN ('command', 'rest')),
  correlation_id varchar(128) NOT NULL,
  request_sha256 bytea NOT NULL,
  status         integer NOT NULL,
  answer         jsonb NOT NULL,
  expires_at     timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, scope, correlation_id)
);

CREATE INDEX idx_answers_expires ON answers (expires_at);

-- Where a projection has read to: the offset of the next record, moved in the transaction of its rows.
CREATE TABLE projections (
  name      varchar(60) NOT NULL,
  topic     varchar(200) NOT NULL,
  partition integer NOT NULL,
  position  bigint NOT NULL,
  PRIMARY KEY (name, topic, partition)
)
