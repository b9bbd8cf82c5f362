-- Scheduled and recurring campaigns.

-- waits_below: a due campaign that waits until fewer than so many campaigns of its tenant run.
-- next_occurrence_at: of a running series, the first occurrence that has no child yet; null = there is none left.
-- occurrence_at: of a child, which occurrence it is; scheduled_at may be changed, this may not.
ALTER TABLE campaigns
  ADD COLUMN waits_below integer,
  ADD COLUMN next_occurrence_at timestamptz,
  ADD COLUMN occurrence_at timestamptz,
  ADD COLUMN is_paused_by_series boolean NOT NULL DEFAULT false;

CREATE UNIQUE INDEX uq_campaigns_occurrence ON campaigns (parent_id, occurrence_at) WHERE occurrence_at IS NOT NULL;

CREATE INDEX idx_campaigns_children ON campaigns (parent_id, created_at DESC, id DESC) WHERE parent_id IS NOT NULL;

CREATE INDEX idx_campaigns_series ON campaigns (next_occurrence_at) WHERE type = 'recurring' AND status = 'running';
