-- What a campaign says, fixed when it starts.

-- variant_id null: what the campaign itself says. content is null where there was no such template.
CREATE TABLE campaign_contents (
  campaign_id   uuid NOT NULL REFERENCES campaigns (id),
  variant_id    varchar(50),
  campaign_name varchar(255) NOT NULL,
  content       jsonb,
  UNIQUE NULLS NOT DISTINCT (campaign_id, variant_id)
);

-- How many test messages a tenant has asked for, and when: what the limit per hour counts.
CREATE TABLE test_sends (
  tenant_id varchar(64) NOT NULL REFERENCES tenants (id),
  sent_at   timestamptz NOT NULL,
  messages  integer NOT NULL CHECK (messages > 0)
);

CREATE INDEX idx_test_sends ON test_sends (tenant_id, sent_at)
