-- A/B tests.

-- When a test is to be evaluated; NULL before its sample is out, once it is decided, and while a person has to decide.
ALTER TABLE campaigns ADD COLUMN ab_test_until timestamptz;

-- The variant that is_winner in campaign_variants, so that every answer can say it without asking there.
ALTER TABLE campaigns ADD COLUMN winner_variant_id varchar(50);

CREATE INDEX idx_campaigns_ab_test ON campaigns (ab_test_until) WHERE ab_test_until IS NOT NULL;

CREATE UNIQUE INDEX uq_campaign_variants_winner ON campaign_variants (campaign_id) WHERE is_winner;

-- What was decided about a test, in order: by the evaluator with the figures it rests on, or by a person.
CREATE TABLE ab_test_decisions (
  seq         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  campaign_id uuid NOT NULL REFERENCES campaigns (id),
  at          timestamptz NOT NULL,
  decision    varchar(10) NOT NULL CHECK (decision IN ('winner', 'extend', 'ask', 'declared')),
  variant_id  varchar(50),
  decided_by  uuid,
  evaluation  jsonb
);

CREATE INDEX idx_ab_test_decisions_campaign ON ab_test_decisions (campaign_id, seq);
