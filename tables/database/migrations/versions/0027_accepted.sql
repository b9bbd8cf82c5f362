-- Messages that a provider has said it took: beside the funnel, as a count and as a time of the
-- recipient. What was counted before has none.

ALTER TABLE campaign_stats ADD COLUMN accepted_count integer NOT NULL DEFAULT 0;

ALTER TABLE campaign_recipients ADD COLUMN accepted_at timestamptz
