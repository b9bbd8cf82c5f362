-- The last run of each background job, and the materialised stats.

-- One row per job, replaced by its next run. run_id: who finishes it; turn_at: when the last turn that succeeded began.
CREATE TABLE job_runs (
  job          varchar(60) PRIMARY KEY,
  run_id       uuid NOT NULL,
  started_at   timestamptz NOT NULL,
  finished_at  timestamptz,
  outcome      varchar(10) NOT NULL CHECK (outcome IN ('running', 'done', 'failed')),
  counts       jsonb NOT NULL DEFAULT '{}',
  error        varchar(200),
  turn_at      timestamptz,
  succeeded_at timestamptz,
  failures     integer NOT NULL DEFAULT 0,
  next_at      timestamptz
);

-- Beyond the specification: the other counts, and what decides whether a row is newer. revision grows by one with every change of the
-- aggregate's row; live_version is that of the counts; winner, is_complete, revision and sealed_at
-- (no facts can change the counts any more) are of the aggregate's row only.
ALTER TABLE campaign_stats
  ADD COLUMN failed_count integer NOT NULL DEFAULT 0,
  ADD COLUMN replied_count integer NOT NULL DEFAULT 0,
  ADD COLUMN machine_opened_count integer NOT NULL DEFAULT 0,
  ADD COLUMN machine_clicked_count integer NOT NULL DEFAULT 0,
  ADD COLUMN skipped_count integer NOT NULL DEFAULT 0,
  ADD COLUMN skipped jsonb NOT NULL DEFAULT '{}',
  ADD COLUMN hours jsonb NOT NULL DEFAULT '{}',
  ADD COLUMN counted_at varchar(30),
  ADD COLUMN live_version bigint NOT NULL DEFAULT 0,
  ADD COLUMN revision integer NOT NULL DEFAULT 0,
  ADD COLUMN winner varchar(50),
  ADD COLUMN is_complete boolean NOT NULL DEFAULT false,
  ADD COLUMN sealed_at timestamptz;

CREATE INDEX idx_campaign_stats_unsealed ON campaign_stats (updated_at) WHERE variant_id IS NULL AND sealed_at IS NULL;

CREATE INDEX idx_campaigns_completed ON campaigns (completed_at) WHERE status = 'completed'
