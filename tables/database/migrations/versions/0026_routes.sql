-- The relays that a tenant has set up to deliver its messages (CAMPAIGNS_ROUTES).

CREATE TABLE routes (
  tenant_id varchar(64) NOT NULL REFERENCES tenants (id),
  name varchar(64) NOT NULL,
  channel campaign_channel NOT NULL,
  provider varchar(20) NOT NULL,
  settings jsonb NOT NULL,
  sealed bytea,
  paused_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, name)
);
