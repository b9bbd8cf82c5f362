-- The domains that a tenant may send from: each is proved by a TXT record that holds its token
-- (CAMPAIGNS_SENDER_DOMAINS).

CREATE TABLE sender_domains (
  tenant_id varchar(64) NOT NULL REFERENCES tenants (id),
  domain varchar(253) NOT NULL,
  token varchar(64) NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  checked_at timestamptz,
  verified_at timestamptz,
  finding varchar(20),
  PRIMARY KEY (tenant_id, domain)
);
