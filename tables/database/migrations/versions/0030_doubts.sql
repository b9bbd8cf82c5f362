-- Messages that were handed over and never answered, and what became of each.

CREATE TABLE doubts (
  message_id uuid PRIMARY KEY,
  tenant_id varchar(64) NOT NULL REFERENCES tenants (id),
  campaign_id uuid NOT NULL,
  contact_id uuid NOT NULL,
  route varchar(64) NOT NULL,
  at timestamptz NOT NULL,
  resolution varchar(10),
  resolved_at timestamptz
);
CREATE INDEX idx_doubts_campaign ON doubts (campaign_id, message_id);
CREATE INDEX idx_doubts_at ON doubts (at);
