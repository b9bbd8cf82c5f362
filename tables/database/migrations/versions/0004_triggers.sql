-- Triggered campaigns.

-- When a contact was last taken into a triggered campaign: what the re-entry policy asks.
CREATE TABLE campaign_entries (
  campaign_id uuid NOT NULL,
  contact_id  uuid NOT NULL,
  entered_at  timestamptz NOT NULL,
  PRIMARY KEY (campaign_id, contact_id)
);

-- The answer to every trigger that had one, for as long as the campaign is there: the same trigger again sends nothing.
CREATE TABLE campaign_triggers (
  campaign_id    uuid NOT NULL REFERENCES campaigns (id),
  correlation_id varchar(128) NOT NULL,
  request_sha256 bytea NOT NULL,
  answer         jsonb NOT NULL,
  triggered_at   timestamptz NOT NULL,
  PRIMARY KEY (campaign_id, correlation_id)
);
