-- Answers of triggers are forgotten after 7 days, which finds the old ones by this.

CREATE INDEX idx_campaign_triggers_triggered ON campaign_triggers (triggered_at);
