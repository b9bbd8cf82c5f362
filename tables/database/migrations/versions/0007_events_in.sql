-- Webhooks, bounces in a row, complaints.

-- What a tenant's provider signs with, sealed (tables/tenants/webhook_secrets.py); `fields` says which parts it has.
CREATE TABLE webhook_secrets (
  tenant_id  varchar(64) NOT NULL REFERENCES tenants (id),
  provider   varchar(20) NOT NULL,
  fields     text[] NOT NULL,
  sealed     bytea NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, provider)
);

-- Amazon SNS asks to confirm a subscription; a person opens the address, never we.
CREATE TABLE webhook_subscriptions (
  tenant_id     varchar(64) NOT NULL,
  provider      varchar(20) NOT NULL,
  topic_arn     varchar(300) NOT NULL,
  subscribe_url text NOT NULL,
  asked_at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, provider, topic_arn)
);

-- What a token of a provider stood for when it was first seen, so that it can stand for nothing else afterwards.
CREATE TABLE webhook_tokens (
  tenant_id  varchar(64) NOT NULL,
  provider   varchar(20) NOT NULL,
  token      varchar(200) NOT NULL,
  meaning    varchar(64) NOT NULL,
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, provider, token)
);

CREATE INDEX idx_webhook_tokens_expires ON webhook_tokens (expires_at);

-- The counts at which a campaign was last paused for its complaints: it is judged by what comes after them.
CREATE TABLE complaint_pauses (
  campaign_id uuid PRIMARY KEY REFERENCES campaigns (id),
  tenant_id   varchar(64) NOT NULL,
  delivered   bigint NOT NULL,
  complained  bigint NOT NULL,
  paused_at   timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX idx_campaigns_running ON campaigns (number) WHERE status = 'running'

-- The first of these Unix seconds that lies further than `around` from sending: a person's.
CREATE FUNCTION first_by_people(times bigint[], sent timestamptz, around interval) RETURNS timestamptz LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
$$ SELECT to_timestamp(min(at)) FROM unnest(times) AS t (at) WHERE to_timestamp(at) NOT BETWEEN sent - around AND sent + around $$
